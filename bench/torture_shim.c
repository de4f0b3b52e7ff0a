/* What a process does to the files under one folder, written down with its contents, or ended there.
 *
 * Preloaded (LD_PRELOAD) into the process under test. It stands before the calls of libc by which
 * files are changed, does each, and appends a record to a journal. Unarmed it only passes on.
 *
 *   torture_arm(root, journal, kill_at, torn)  watch what lies under `root` (absolute, no links).
 *       journal: file for the records, or NULL. kill_at: the process is killed by SIGKILL at the
 *       start of that watched call, counted from 1 (0 = never); torn >= 0 lets a call that writes
 *       put that many bytes first.
 *   torture_mark(number)  a record of the caller's own: what has been acknowledged so far.
 *   torture_calls()       watched calls so far.
 *
 * Record: u32 kind, u32 length of the first path, u32 of the second, u32 zero, u64 inode,
 * u64 offset, u64 length of the data; then paths and data. See torture_disk.py, which reads them.
 */
#define _GNU_SOURCE
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
  CREATE = 1,
  WRITE,
  TRUNCATE,
  RENAME,
  UNLINK,
  MKDIR,
  RMDIR,
  SYNC,
  MARK,
  MAP,
  UNKNOWN
};
enum { FDS = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_length;
static int journal = -1;
static long calls, kill_at, torn = -1;
static unsigned char watched[FDS];

#define REAL(name)                       \
  static __typeof__(&name) real;         \
  if (!real) real = dlsym(RTLD_NEXT, #name)

static void put(const void* data, size_t bytes) {
  const char* at = data;
  while (bytes > 0) {
    long done = syscall(SYS_write, journal, at, bytes);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) abort();
    at += done;
    bytes -= (size_t)done;
  }
}

static void record(uint32_t kind, const char* first, const char* second, uint64_t inode,
                   uint64_t offset, const void* data, uint64_t bytes) {
  if (journal < 0) return;
  int keep = errno;
  struct {
    uint32_t kind, first, second, zero;
    uint64_t inode, offset, bytes;
  } head = {kind, first ? strlen(first) : 0, second ? strlen(second) : 0, 0, inode, offset, bytes};
  put(&head, sizeof head);
  put(first, head.first);
  put(second, head.second);
  put(data, data ? bytes : 0);
  errno = keep;
}

static uint64_t inode_of(int fd) {
  struct stat facts;
  return fstat(fd, &facts) == 0 ? facts.st_ino : 0;
}

static int ours(int fd) { return root_length && fd >= 0 && fd < FDS && watched[fd]; }

/* The absolute path, in `out`, if it lies under the root. */
static int under(int folder, const char* path, char* out) {
  if (!root_length || !path) return 0;
  if (path[0] == '/') {
    snprintf(out, PATH_MAX, "%s", path);
  } else {
    char base[PATH_MAX];
    if (folder == AT_FDCWD) {
      if (!getcwd(base, sizeof base)) return 0;
    } else {
      char link[64];
      snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
      ssize_t got = readlink(link, base, sizeof base - 1);
      if (got < 0) return 0;
      base[got] = 0;
    }
    if (snprintf(out, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return 0;
  }
  return strncmp(out, root, root_length) == 0 && (out[root_length] == '/' || !out[root_length]);
}

/* Begins a watched call: takes the lock, and is where the process may end. */
static long begin(void) {
  pthread_mutex_lock(&lock);
  return ++calls == kill_at;
}
static void die(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}
static void end(void) {
  int keep = errno;
  pthread_mutex_unlock(&lock);
  errno = keep;
}

void torture_arm(const char* folder, const char* log, long at, long bytes) {
  snprintf(root, sizeof root, "%s", folder);
  root_length = strlen(root);
  journal = -1;
  if (log) {
    int fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) abort();
    journal = fcntl(fd, F_DUPFD_CLOEXEC, 900); /* out of the way of the numbers in use */
    syscall(SYS_close, fd);
    if (journal < 0) abort();
  }
  calls = 0;
  kill_at = at;
  torn = bytes;
}
void torture_mark(uint64_t number) {
  pthread_mutex_lock(&lock);
  record(MARK, NULL, NULL, 0, number, NULL, 0);
  pthread_mutex_unlock(&lock);
}
long torture_calls(void) { return calls; }

/* -- names ------------------------------------------------------------------------------------ */

static int opened(int folder, const char* path, int flags, mode_t mode) {
  char full[PATH_MAX];
  if (!under(folder, path, full)) return syscall(SYS_openat, folder, path, flags, mode);
  int changes = (flags & (O_CREAT | O_TRUNC)) != 0;
  if (changes ? begin() : (pthread_mutex_lock(&lock), 0)) die();
  struct stat before;
  int there = lstat(full, &before) == 0;
  int fd = syscall(SYS_openat, folder, path, flags, mode);
  if (fd >= 0) {
    if (fd < FDS) watched[fd] = 1;
    if (!there) record(CREATE, full, NULL, inode_of(fd), 0, NULL, 0);
    if (there && (flags & O_TRUNC) && before.st_size)
      record(TRUNCATE, NULL, NULL, before.st_ino, 0, NULL, 0);
  }
  end();
  return fd;
}

#define OPENED(name)                                                      \
  int name(const char* path, int flags, ...) {                            \
    va_list more;                                                         \
    va_start(more, flags);                                                \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
    va_end(more);                                                         \
    return opened(AT_FDCWD, path, flags, mode);                           \
  }
OPENED(open)
OPENED(open64)
#define OPENED_AT(name)                                                   \
  int name(int folder, const char* path, int flags, ...) {                \
    va_list more;                                                         \
    va_start(more, flags);                                                \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
    va_end(more);                                                         \
    return opened(folder, path, flags, mode);                             \
  }
OPENED_AT(openat)
OPENED_AT(openat64)

int close(int fd) {
  REAL(close);
  if (fd >= 0 && fd < FDS) watched[fd] = 0;
  return real(fd);
}

#define NAMES(name, kind, folder, path, parameters, arguments) \
  int name parameters {                                        \
    REAL(name);                                                \
    char full[PATH_MAX];                                       \
    if (!under(folder, path, full)) return real arguments;     \
    if (begin()) die();                                        \
    struct stat facts;                                         \
    if (lstat(full, &facts) != 0) facts.st_ino = 0;            \
    int result = real arguments;                               \
    if (kind == MKDIR && lstat(full, &facts) != 0) facts.st_ino = 0; \
    if (result == 0) record(kind, full, NULL, facts.st_ino, 0, NULL, 0); \
    end();                                                     \
    return result;                                             \
  }
NAMES(unlink, UNLINK, AT_FDCWD, path, (const char* path), (path))
NAMES(unlinkat, (flags & AT_REMOVEDIR ? RMDIR : UNLINK), folder, path,
      (int folder, const char* path, int flags), (folder, path, flags))
NAMES(remove, UNKNOWN, AT_FDCWD, path, (const char* path), (path))
NAMES(rmdir, RMDIR, AT_FDCWD, path, (const char* path), (path))
NAMES(mkdir, MKDIR, AT_FDCWD, path, (const char* path, mode_t mode), (path, mode))
NAMES(mkdirat, MKDIR, folder, path, (int folder, const char* path, mode_t mode),
      (folder, path, mode))
NAMES(truncate, UNKNOWN, AT_FDCWD, path, (const char* path, off_t size), (path, size))
NAMES(truncate64, UNKNOWN, AT_FDCWD, path, (const char* path, off64_t size), (path, size))
NAMES(link, UNKNOWN, AT_FDCWD, to, (const char* from, const char* to), (from, to))
NAMES(symlink, UNKNOWN, AT_FDCWD, to, (const char* from, const char* to), (from, to))

#define RENAMED(name, one, other, parameters, arguments)                       \
  int name parameters {                                                        \
    REAL(name);                                                                \
    char source[PATH_MAX], target[PATH_MAX];                                   \
    int here = under(one, from, source), there = under(other, to, target);     \
    if (!here && !there) return real arguments;                                \
    if (begin()) die();                                                        \
    struct stat facts;                                                         \
    if (lstat(source, &facts) != 0) facts.st_ino = 0;                          \
    int result = real arguments;                                               \
    if (result == 0)                                                           \
      record(here && there ? RENAME : UNKNOWN, source, target, facts.st_ino, 0, NULL, 0); \
    end();                                                                     \
    return result;                                                             \
  }
RENAMED(rename, AT_FDCWD, AT_FDCWD, (const char* from, const char* to), (from, to))
RENAMED(renameat, one, other, (int one, const char* from, int other, const char* to),
        (one, from, other, to))
RENAMED(renameat2, one, other,
        (int one, const char* from, int other, const char* to, unsigned flags),
        (one, from, other, to, flags))

/* -- contents --------------------------------------------------------------------------------- */

static ssize_t written(int fd, const void* data, size_t bytes, off64_t offset, int at_offset) {
  if (!ours(fd))
    return at_offset ? syscall(SYS_pwrite64, fd, data, bytes, offset)
                     : syscall(SYS_write, fd, data, bytes);
  long last = begin();
  if (last && torn < 0) die();
  if (last && (size_t)torn < bytes) bytes = (size_t)torn;
  off64_t place = offset;
  if (!at_offset) {
    struct stat facts;
    place = fcntl(fd, F_GETFL) & O_APPEND && fstat(fd, &facts) == 0 ? facts.st_size
                                                                     : lseek(fd, 0, SEEK_CUR);
  }
  ssize_t done = at_offset ? syscall(SYS_pwrite64, fd, data, bytes, offset)
                           : syscall(SYS_write, fd, data, bytes);
  if (last) die();
  if (done > 0) record(WRITE, NULL, NULL, inode_of(fd), (uint64_t)place, data, (uint64_t)done);
  end();
  return done;
}
ssize_t write(int fd, const void* data, size_t bytes) { return written(fd, data, bytes, 0, 0); }
ssize_t pwrite(int fd, const void* data, size_t bytes, off_t offset) {
  return written(fd, data, bytes, offset, 1);
}
ssize_t pwrite64(int fd, const void* data, size_t bytes, off64_t offset) {
  return written(fd, data, bytes, offset, 1);
}

static int cut(int fd, off64_t size) {
  if (!ours(fd)) return syscall(SYS_ftruncate, fd, size);
  if (begin()) die();
  int result = syscall(SYS_ftruncate, fd, size);
  if (result == 0) record(TRUNCATE, NULL, NULL, inode_of(fd), (uint64_t)size, NULL, 0);
  end();
  return result;
}
int ftruncate(int fd, off_t size) { return cut(fd, size); }
int ftruncate64(int fd, off64_t size) { return cut(fd, size); }

static int synced(int fd, long call) {
  if (!ours(fd)) return syscall(call, fd);
  if (begin()) die();
  int result = syscall(call, fd);
  if (result == 0) record(SYNC, NULL, NULL, inode_of(fd), 0, NULL, 0);
  end();
  return result;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

/* Calls that nothing here is known to make: their record makes the reader of the journal refuse. */
#define STRANGE(type, name, parameters, arguments)                            \
  type name parameters {                                                      \
    REAL(name);                                                               \
    if (ours(fd)) record(UNKNOWN, #name, NULL, inode_of(fd), 0, NULL, 0);     \
    return real arguments;                                                    \
  }
STRANGE(ssize_t, writev, (int fd, const struct iovec* parts, int count), (fd, parts, count))
STRANGE(ssize_t, pwritev, (int fd, const struct iovec* parts, int count, off_t offset),
        (fd, parts, count, offset))
STRANGE(ssize_t, pwritev64, (int fd, const struct iovec* parts, int count, off64_t offset),
        (fd, parts, count, offset))
STRANGE(int, fallocate, (int fd, int mode, off_t offset, off_t bytes), (fd, mode, offset, bytes))
STRANGE(int, fallocate64, (int fd, int mode, off64_t offset, off64_t bytes),
        (fd, mode, offset, bytes))
STRANGE(int, posix_fallocate, (int fd, off_t offset, off_t bytes), (fd, offset, bytes))
STRANGE(int, posix_fallocate64, (int fd, off64_t offset, off64_t bytes), (fd, offset, bytes))
STRANGE(int, dup, (int fd), (fd))

#define MAPPED(name, offset_type)                                                               \
  void* name(void* where, size_t bytes, int protection, int flags, int fd, offset_type offset) { \
    if (ours(fd) && (flags & MAP_SHARED) && (protection & PROT_WRITE))                          \
      record(MAP, NULL, NULL, inode_of(fd), (uint64_t)offset, NULL, 0);                         \
    return (void*)syscall(SYS_mmap, where, bytes, protection, flags, fd, offset);               \
  }
MAPPED(mmap, off_t)
MAPPED(mmap64, off64_t)
