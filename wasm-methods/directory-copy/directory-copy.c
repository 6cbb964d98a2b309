/* A method in another language than the rest: a plain WASI command in C, called with a command's arguments. It copies a
 * backup that lies in a folder as files, or a snapshot of a data directory, into the data directory.
 *
 *   --directory=FOLDER  where the backup is; the folder must be granted
 *   --datadir=FOLDER    where the copy goes: Regent says where
 *
 * What a running server keeps for itself is left out, and links are not followed: Regent makes those that the
 * configuration asks for. Ends with 0 when all is copied, with 1 and a word on standard error otherwise. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES_MAX = 4096, BUFFER_BYTES = 256 * 1024, DEPTH_MAX = 64 };

static char buffer[BUFFER_BYTES];
static unsigned long long files, bytes;

/* Where `pg_wal` and the tablespaces go, when they have folders of their own. */
static const char *wal_folder;

static int failed(const char *what, const char *path) {
    fprintf(stderr, "cannot %s %s: %s\n", what, path, strerror(errno));
    return -1;
}

static int is_left_out(const char *name, int depth) {
    static const char *const names[] = {"postmaster.pid", "postmaster.opts", "pg_internal.init", "lost+found"};
    for (size_t at = 0; at < sizeof names / sizeof *names; at++) {
        if (strcmp(name, names[at]) == 0) return 1;
    }
    return depth == 0 && strncmp(name, ".regent-", 8) == 0;
}

/* Folders whose content a server makes anew. */
static int is_emptied(const char *name, int depth) {
    static const char *const names[] = {"pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial",
                                        "pg_snapshots", "pg_stat_tmp", "pg_subtrans"};
    if (depth != 0) return 0;
    for (size_t at = 0; at < sizeof names / sizeof *names; at++) {
        if (strcmp(name, names[at]) == 0) return 1;
    }
    return 0;
}

static int write_all(int to, const char *from, size_t count) {
    while (count > 0) {
        ssize_t written = write(to, from, count);
        if (written < 0) return -1;
        from += written;
        count -= (size_t)written;
    }
    return 0;
}

static int copy_file(const char *source, const char *target) {
    int from = open(source, O_RDONLY);
    if (from < 0) return failed("open", source);
    int to = open(target, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (to < 0) {
        close(from);
        return failed("create", target);
    }
    ssize_t count;
    int result = 0;
    while (result == 0 && (count = read(from, buffer, sizeof buffer)) != 0) {
        if (count < 0) result = failed("read", source);
        else if (write_all(to, buffer, (size_t)count) < 0) result = failed("write", target);
        else bytes += (unsigned long long)count;
    }
    close(from);
    if (close(to) < 0 && result == 0) result = failed("write", target);
    files++;
    return result;
}

static int copy_folder(const char *source, const char *target, int depth);

static int copy_entry(const char *source, const char *target, const char *name, int depth) {
    char from[PATH_BYTES_MAX], to[PATH_BYTES_MAX];
    struct stat meta;
    if (snprintf(from, sizeof from, "%s/%s", source, name) >= (int)sizeof from ||
        snprintf(to, sizeof to, "%s/%s", target, name) >= (int)sizeof to) {
        errno = ENAMETOOLONG;
        return failed("copy", name);
    }
    /* A file may vanish from a folder that is in use. */
    if (lstat(from, &meta) < 0) return errno == ENOENT ? 0 : failed("look at", from);
    if (S_ISREG(meta.st_mode)) return copy_file(from, to);
    if (!S_ISDIR(meta.st_mode)) return 0;
    if (mkdir(to, 0700) < 0 && errno != EEXIST) return failed("make", to);
    if (is_emptied(name, depth)) return 0;
    if (depth == 0 && wal_folder && strcmp(name, "pg_wal") == 0) return copy_folder(from, wal_folder, depth + 1);
    return copy_folder(from, to, depth + 1);
}

static int copy_folder(const char *source, const char *target, int depth) {
    if (depth > DEPTH_MAX) {
        errno = ELOOP;
        return failed("copy", source);
    }
    DIR *folder = opendir(source);
    if (!folder) return failed("open", source);
    int result = 0;
    for (struct dirent *entry; result == 0 && (entry = readdir(folder));) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || is_left_out(name, depth)) continue;
        result = copy_entry(source, target, name, depth);
    }
    closedir(folder);
    return result;
}

static const char *argument(int count, char **arguments, const char *name) {
    size_t length = strlen(name);
    for (int at = 1; at < count; at++) {
        if (strncmp(arguments[at], name, length) == 0) return arguments[at] + length;
    }
    return NULL;
}

int main(int count, char **arguments) {
    const char *source = argument(count, arguments, "--directory=");
    const char *target = argument(count, arguments, "--datadir=");
    char version[PATH_BYTES_MAX];
    struct stat meta;
    if (!source || !target) {
        fputs("usage: directory-copy --directory=BACKUP --datadir=TARGET [--wal=FOLDER]\n", stderr);
        return 1;
    }
    wal_folder = argument(count, arguments, "--wal=");
    if (copy_folder(source, target, 0) < 0) return 1;
    snprintf(version, sizeof version, "%s/PG_VERSION", target);
    if (stat(version, &meta) < 0) {
        fprintf(stderr, "%s has no PG_VERSION: it is no backup of a data directory\n", source);
        return 1;
    }
    printf("copied %llu files, %llu bytes from %s\n", files, bytes, source);
    return 0;
}
