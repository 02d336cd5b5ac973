#pragma once

/* Seconds since this process started, including the loading of libraries, to a hundredth; 0 if
 * unknown. */
double process_age(void);
