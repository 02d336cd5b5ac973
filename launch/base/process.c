#include "launch/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

Status process_file_create(const char *what, char path[PROCESS_FILE_BYTES]) {
    snprintf(path, PROCESS_FILE_BYTES, "/tmp/hourglass-%s-XXXXXX", what);
    int fd = mkstemp(path);
    if (fd < 0) return ERROR(STATUS_FAILURE, "%s: cannot be created: %s", path, strerror(errno));
    close(fd);
    return OK;
}

bool process_can_find(const char *program) {
    const char *path = getenv("PATH");
    char candidate[PATH_MAX];
    while (path != NULL && *path != '\0') {
        size_t bytes = strcspn(path, ":");
        snprintf(candidate, sizeof candidate, "%.*s/%s", (int)bytes, path, program);
        if (access(candidate, X_OK) == 0) return true;
        path += bytes + (path[bytes] == ':');
    }
    return false;
}

static int open_as(int fd, const char *path, int flags) {
    int opened = open(path, flags, 0644);
    if (opened < 0 || opened == fd) return opened;
    int result = dup2(opened, fd);
    close(opened);
    return result;
}

/* In the child: ends it if the parent ended before prctl took effect. Resets SIGUSR1, because the
 * parent's handler would ignore it until exec. */
static void follow_parent(pid_t parent) {
    signal(SIGUSR1, SIG_DFL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    if (getppid() != parent) _exit(127);
}

static void child_run(const ProcessPlan *plan, pid_t parent) {
    follow_parent(parent);
    if (open_as(STDIN_FILENO, "/dev/null", O_RDONLY) < 0 ||
        (!plan->shows_output && open_as(STDOUT_FILENO, "/dev/null", O_WRONLY) < 0) ||
        open_as(STDERR_FILENO, plan->errors, O_WRONLY | O_CREAT | O_TRUNC) < 0) {
        _exit(127);
    }
    for (char *const *variable = plan->variables; variable != NULL && *variable != NULL; variable++)
        putenv(*variable);
    if (plan->cores != NULL) sched_setaffinity(0, sizeof *plan->cores, plan->cores);
    execvp(plan->arguments[0], plan->arguments);
    dprintf(STDERR_FILENO, "%s: error: cannot start %s: %s\n", program_invocation_short_name,
            plan->arguments[0], strerror(errno));
    _exit(127);
}

Status process_start(const ProcessPlan *plan, pid_t *out) {
    pid_t parent = getpid();
    *out = fork();
    if (*out < 0)
        return ERROR(STATUS_FAILURE, "%s: cannot be started: %s", plan->arguments[0],
                     strerror(errno));
    if (*out == 0) child_run(plan, parent);
    return OK;
}

static int exit_code(int status) {
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool process_has_ended(pid_t pid, int *code) {
    int status;
    if (waitpid(pid, &status, WNOHANG) != pid) return false;
    *code = exit_code(status);
    return true;
}

/* Reads an unlinked temporary file from its start. */
static void take_text(FILE *file, char *text, size_t capacity) {
    rewind(file);
    text[fread(text, 1, capacity - 1, file)] = '\0';
    size_t bytes = strlen(text);
    while (bytes > 0 && text[bytes - 1] == '\n') text[--bytes] = '\0';
}

static Status run_into(char *const *arguments, FILE *output, FILE *errors, int *code) {
    pid_t parent = getpid(), child = fork();
    if (child < 0)
        return ERROR(STATUS_FAILURE, "%s: cannot be started: %s", arguments[0], strerror(errno));
    if (child == 0) {
        follow_parent(parent);
        if (dup2(fileno(output), STDOUT_FILENO) >= 0 && dup2(fileno(errors), STDERR_FILENO) >= 0) {
            execvp(arguments[0], arguments);
        }
        _exit(127);
    }
    int status;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            return ERROR(STATUS_FAILURE, "cannot wait for %s: %s", arguments[0], strerror(errno));
    }
    *code = exit_code(status);
    return OK;
}

Status process_run(char *const *arguments, char *output, char *errors, size_t capacity, int *code) {
    FILE *out = tmpfile(), *err = tmpfile();
    Status status = OK;
    if (out == NULL || err == NULL) {
        status = ERROR(STATUS_FAILURE, "cannot create a temporary file: %s", strerror(errno));
    } else {
        status = run_into(arguments, out, err, code);
    }
    if (!failed(status)) {
        take_text(out, output, capacity);
        take_text(err, errors, capacity);
    }
    if (out != NULL) fclose(out);
    if (err != NULL) fclose(err);
    return status;
}
