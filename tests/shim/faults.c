/* Faults of the machine for a process that preloads this library, as a control file of another process orders them. Only the
 * tests use it. The file, named by PORTCULLIS_TEST_FAULTS, is mapped; see tests/src/faults.rs for its layout. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct orders {
  int64_t clock_s;      /* added to the wall clock */
  int64_t disk_fails;   /* nothing can be made durable */
  int64_t log_stalls;   /* nobody reads standard output */
};

static volatile struct orders none;

static volatile struct orders *orders(void) {
  static volatile struct orders *mapped;
  if (!mapped) {
    const char *path = getenv("PORTCULLIS_TEST_FAULTS");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *found = file < 0 ? MAP_FAILED : mmap(NULL, sizeof none, PROT_READ, MAP_SHARED, file, 0);
    mapped = found == MAP_FAILED ? &none : found;
  }
  return mapped;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int done = real(clock, now);
  if (!done && clock == CLOCK_REALTIME) now->tv_sec += orders()->clock_s;
  return done;
}

int fdatasync(int file) {
  static int (*real)(int);
  if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  if (orders()->disk_fails) {
    errno = EIO;
    return -1;
  }
  return real(file);
}

int fsync(int file) {
  static int (*real)(int);
  if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  if (orders()->disk_fails) {
    errno = EIO;
    return -1;
  }
  return real(file);
}

ssize_t write(int file, const void *bytes, size_t count) {
  static ssize_t (*real)(int, const void *, size_t);
  if (!real) real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
  struct timespec pause = {0, 1000000};
  while (file == STDOUT_FILENO && orders()->log_stalls) nanosleep(&pause, NULL);
  return real(file, bytes, count);
}
