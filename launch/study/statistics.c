#include "launch/study/statistics.h"

#include <math.h>
#include <stddef.h>

enum { MOST_VALUES = 9999 };

/* ---- Student's t ----------------------------------------------------------------------------- */

/* The continued fraction of the incomplete beta function, 26.5.8, from its end. */
static double beta_fraction(double x, double a, double b) {
    enum { TERMS = 400 };
    double tail = 0;
    for (int m = TERMS; m >= 1; m--) {
        int k = m / 2;
        double term = m % 2 == 0 ? k * (b - k) * x / ((a + 2 * k - 1) * (a + 2 * k))
                                 : -(a + k) * (a + b + k) * x / ((a + 2 * k) * (a + 2 * k + 1));
        tail = term / (1 + tail);
    }
    return 1 / (1 + tail);
}

/* I_x(a, b). The fraction converges fast below the mean of the distribution. */
static double beta_incomplete(double x, double a, double b) {
    if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
    double scale = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2)) return scale * beta_fraction(x, a, b) / a;
    return 1 - scale * beta_fraction(1 - x, b, a) / b;
}

double t_share(double t, double freedom) {
    if (isnan(t) || isnan(freedom) || freedom < 1) return NAN;
    if (freedom > 1e5) return erf(fabs(t) / sqrt(2));
    return 1 - beta_incomplete(freedom / (freedom + t * t), freedom / 2, 0.5);
}

double t_quantile(double share, double freedom) {
    if (isnan(t_share(1, freedom)) || !(share >= 0 && share < 1)) return NAN;
    double low = 0, high = 1;
    while (t_share(high, freedom) < share) high *= 2;
    for (int i = 0; i < 100 && low < high; i++) {
        double middle = (low + high) / 2;
        if (t_share(middle, freedom) < share)
            low = middle;
        else
            high = middle;
    }
    return high;
}

/* ---- means ----------------------------------------------------------------------------------- */

static double mean_of(const double *values, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += values[i];
    return n == 0 ? NAN : sum / n;
}

static double half_of(double deviation, int n) {
    return n < 2 ? NAN : t_quantile(CONFIDENCE, n - 1) * deviation / sqrt(n);
}

/* `b` may be NULL, for zeros. */
static Interval interval_of(const double *a, const double *b, int n) {
    Interval out = {.value = mean_of(a, n), .n = n, .half = NAN, .deviation = NAN};
    if (b != NULL) out.value -= mean_of(b, n);
    double squares = 0;
    for (int i = 0; i < n; i++) {
        double from_mean = a[i] - (b == NULL ? 0 : b[i]) - out.value;
        squares += from_mean * from_mean;
    }
    if (n < 2) return out;
    out.deviation = sqrt(squares / (n - 1));
    out.half = half_of(out.deviation, n);
    return out;
}

Interval mean_interval(const double *values, int n) { return interval_of(values, NULL, n); }

Interval difference_interval(const double *a, const double *b, int n) {
    return interval_of(a, b, n);
}

bool interval_tells(const Interval *difference) {
    return fabs(difference->value) > difference->half;
}

int values_to_tell(const Interval *difference) {
    /* the half falls with n: what the most values cannot tell, fewer cannot */
    if (!(half_of(difference->deviation, MOST_VALUES) < fabs(difference->value))) return 0;
    for (int n = 2; n <= MOST_VALUES; n++) {
        if (half_of(difference->deviation, n) < fabs(difference->value)) return n;
    }
    return 0;
}

/* ---- least squares --------------------------------------------------------------------------- */

LineFit line_fit(const double *x, const double *y, int n) {
    LineFit fit = {.x = mean_of(x, n), .at = mean_of(y, n)};
    double xx = 0, xy = 0, residues = 0;
    for (int i = 0; i < n; i++) {
        xx += (x[i] - fit.x) * (x[i] - fit.x);
        xy += (x[i] - fit.x) * (y[i] - fit.at);
    }
    fit.slope = (Interval){.value = xx > 0 ? xy / xx : NAN, .n = n, .half = NAN, .deviation = NAN};
    for (int i = 0; i < n; i++) {
        double residue = y[i] - fit.at - fit.slope.value * (x[i] - fit.x);
        residues += residue * residue;
    }
    if (n < 3) return fit;
    fit.slope.deviation = sqrt(residues / (n - 2) / xx);
    fit.slope.half = t_quantile(CONFIDENCE, n - 2) * fit.slope.deviation;
    return fit;
}

typedef struct Symmetric {
    double m[3][3];
} Symmetric;

static double cofactor(const Symmetric *s, int row, int column) {
    int r1 = (row + 1) % 3, r2 = (row + 2) % 3, c1 = (column + 1) % 3, c2 = (column + 2) % 3;
    return s->m[r1][c1] * s->m[r2][c2] - s->m[r1][c2] * s->m[r2][c1];
}

/* False if it is singular. */
static bool invert(const Symmetric *s, Symmetric *out) {
    double determinant = 0;
    for (int k = 0; k < 3; k++) determinant += s->m[0][k] * cofactor(s, 0, k);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++) out->m[i][k] = cofactor(s, k, i) / determinant;
    }
    return fabs(determinant) > 1e-12 * s->m[0][0] * s->m[1][1] * s->m[2][2];
}

/* X'X and X'y of the rows (1, u, u^2). */
static Symmetric normal_equations(const double *x, const double *y, int n, double center,
                                  double right[3]) {
    Symmetric s = {0};
    for (int i = 0; i < n; i++) {
        double u = x[i] - center, row[3] = {1, u, u * u};
        for (int r = 0; r < 3; r++) {
            right[r] += row[r] * y[i];
            for (int c = 0; c < 3; c++) s.m[r][c] += row[r] * row[c];
        }
    }
    return s;
}

static double product(const double a[3], const Symmetric *s, const double b[3]) {
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++) sum += a[i] * s->m[i][k] * b[k];
    }
    return sum;
}

ParabolaFit parabola_fit(const double *x, const double *y, int n, double deviation,
                         double freedom) {
    ParabolaFit fit = {.at = {.value = NAN, .half = NAN, .n = n, .deviation = NAN},
                       .least = NAN,
                       .curvature = NAN};
    double center = mean_of(x, n), right[3] = {0};
    Symmetric equations = normal_equations(x, y, n, center, right), inverse;
    if (n < 3 || !invert(&equations, &inverse)) return fit;
    const double rows[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    double a = product(rows[0], &inverse, right), b = product(rows[1], &inverse, right),
           c = product(rows[2], &inverse, right);
    fit.curvature = c;
    if (!(c > 0)) return fit;
    const double gradient[3] = {0, -1 / (2 * c), b / (2 * c * c)};
    fit.at.value = center - b / (2 * c);
    fit.least = a - b * b / (4 * c);
    fit.at.deviation = deviation * sqrt(product(gradient, &inverse, gradient));
    fit.at.half = t_quantile(CONFIDENCE, freedom) * fit.at.deviation;
    return fit;
}
