/* Writes the report of a study: mpi_report STUDY. For tests that build studies by hand. */
#include "launch/study/report/report.h"

int main(int argc, char **argv) {
    if (argc != 2) return status_exit_code(STATUS_USAGE);
    Status status = report_write(argv[1], stdout);
    return failed(status) ? status_report("report", status) : 0;
}
