/*
 * For LD_PRELOAD: makes writes and syncs of a file and of its log fail when a test says so. The test writes lines of
 * "KIND FILE ERRNO" into the file that FAILING_DISK names: KIND is write, sync or cut, FILE is the end of a name.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* The error for `kind` on `fd`, or 0. */
static int fault(const char *kind, int fd) {
  const char *orders = getenv("FAILING_DISK");
  FILE *file = orders ? fopen(orders, "re") : NULL;
  if (!file) return 0;
  char link[64], name[4096], what[16], end[256];
  int error = 0, number;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, name, sizeof name - 1);
  name[length > 0 ? length : 0] = 0;
  while (!error && fscanf(file, "%15s %255s %d", what, end, &number) == 3) {
    size_t size = strlen(end);
    if (length < (ssize_t)size || strcmp(what, kind) != 0) continue;
    if (strcmp(name + length - size, end) == 0) error = number;
  }
  fclose(file);
  return error;
}

#define OR_FAIL(kind, type, name, parameters, arguments)                   \
  type name parameters {                                                   \
    static type(*real) parameters;                                         \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);                  \
    int error = fault(kind, fd);                                           \
    if (!error) return real arguments;                                     \
    errno = error;                                                         \
    return -1;                                                             \
  }

OR_FAIL("sync", int, fsync, (int fd), (fd))
OR_FAIL("sync", int, fdatasync, (int fd), (fd))
OR_FAIL("write", ssize_t, pwrite, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at))
OR_FAIL("write", ssize_t, pwrite64, (int fd, const void *from, size_t size, off64_t at), (fd, from, size, at))
OR_FAIL("cut", int, ftruncate, (int fd, off_t size), (fd, size))
OR_FAIL("cut", int, ftruncate64, (int fd, off64_t size), (fd, size))
