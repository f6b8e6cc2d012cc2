/* Stands between a program and its disk (LD_PRELOAD): below the folder DISK_FOLDER it writes down every operation, and makes
 * the one that it is told to fail. What CPython, its buffers and shutil do is seen as the system sees it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static int armed, fault; /* operations until one fails, and how */
static FILE *log_file;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* after: 0 for none; error: the errno that the operation then has. Returns how many were still to come. */
int disk_arm(int after, int error) {
    int left = armed;
    armed = after;
    fault = error;
    return left;
}

void disk_log(const char *path) {
    if (log_file)
        fclose(log_file);
    log_file = path ? fopen(path, "wbe") : NULL;
}

static int ours(const char *path) {
    const char *folder = getenv("DISK_FOLDER");
    return folder && strncmp(path, folder, strlen(folder)) == 0;
}

static const char *path_of(int fd, char path[PATH_MAX]) {
    char link[64];
    struct stat status;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = fstat(fd, &status) ? -1 : readlink(link, path, PATH_MAX - 1);
    if (n < 0 || !(S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)))
        return NULL;
    path[n] = 0;
    return ours(path) ? path : NULL;
}

/* 1 when this operation is the one that fails. */
static int fails(void) {
    if (armed && --armed == 0) {
        errno = fault;
        return 1;
    }
    return 0;
}

static void note(const char *what, const char *path, long long at, const void *data, size_t size) {
    if (!log_file)
        return;
    fprintf(log_file, "%s\t%s\t%lld\t", what, path, at);
    for (size_t i = 0; i < size; i++)
        fprintf(log_file, "%02x", ((const unsigned char *)data)[i]);
    fputc('\n', log_file);
    fflush(log_file);
}

ssize_t write(int fd, const void *data, size_t size) {
    char path[PATH_MAX];
    if (!path_of(fd, path))
        return REAL(write)(fd, data, size);
    if (fails())
        return -1;
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t done = REAL(write)(fd, data, size);
    if (done > 0)
        note("write", path, at, data, (size_t)done);
    return done;
}

/* Refused, as on systems that have none: a copy is then made of writes. */
ssize_t sendfile(int out, int in, off_t *offset, size_t count) {
    (void)out, (void)in, (void)offset, (void)count;
    errno = ENOTSOCK;
    return -1;
}

ssize_t sendfile64(int out, int in, off_t *offset, size_t count) {
    return sendfile(out, in, offset, count);
}

static int cut(int fd, off_t size, int (*real)(int, off_t)) {
    char path[PATH_MAX];
    if (!path_of(fd, path))
        return real(fd, size);
    if (fails())
        return -1;
    note("cut", path, size, NULL, 0);
    return real(fd, size);
}

int ftruncate(int fd, off_t size) {
    return cut(fd, size, REAL(ftruncate));
}

int ftruncate64(int fd, off_t size) {
    return cut(fd, size, REAL(ftruncate64));
}

int fsync(int fd) {
    char path[PATH_MAX];
    if (!path_of(fd, path))
        return REAL(fsync)(fd);
    if (fails())
        return -1;
    note("sync", path, 0, NULL, 0);
    return REAL(fsync)(fd);
}

static int opened(const char *path, int flags, mode_t mode, int (*real)(const char *, int, ...)) {
    struct stat status;
    int makes = flags & O_CREAT && ours(path) && lstat(path, &status);
    if (makes && fails())
        return -1;
    int fd = real(path, flags, mode);
    if (makes && fd >= 0)
        note("make", path, 0, NULL, 0);
    return fd;
}

#define OPEN(name)                                                \
    int name(const char *path, int flags, ...) {                  \
        va_list more;                                             \
        va_start(more, flags);                                    \
        mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0; \
        va_end(more);                                             \
        return opened(path, flags, mode, REAL(name));             \
    }
OPEN(open)
OPEN(open64)

int mkdir(const char *path, mode_t mode) {
    struct stat there;
    if (ours(path) && lstat(path, &there) && fails())
        return -1;
    int status = REAL(mkdir)(path, mode);
    if (!status && ours(path))
        note("folder", path, 0, NULL, 0);
    return status;
}

int rename(const char *from, const char *to) {
    if (ours(to) && fails())
        return -1;
    int status = REAL(rename)(from, to);
    if (!status && ours(to))
        note("rename", from, 0, to, strlen(to));
    return status;
}
