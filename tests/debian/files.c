/* What a shell does not do with files: locks, a private mapping, holes, and reading a directory while it shrinks. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(const char *what)
{
    perror(what);
    return 1;
}

static int holes(const char *name)
{
    struct stat known;
    char byte = 1;
    int file = open(name, O_RDWR | O_CREAT, 0600);
    if (file < 0 || pwrite(file, "end", 3, 1 << 20) != 3 || pread(file, &byte, 1, 4096) != 1 || byte != 0)
        return fail("a hole");
    if (fstat(file, &known) || known.st_size != (1 << 20) + 3 || known.st_blocks != 8)
        return fail("blocks of a hole");
    char *map = mmap(0, known.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    if (map == MAP_FAILED || memcmp(map + (1 << 20), "end", 3))
        return fail("a mapping");
    return close(file);
}

static int locks(const char *name)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10 };
    int file = open(name, O_RDWR);
    if (file < 0 || fcntl(file, F_SETLK, &lock) || fcntl(file, F_GETLK, &lock) || lock.l_type != F_UNLCK)
        return fail("a lock");
    return close(file);
}

/* Removes every name while it reads them, as rm -r does. */
static int shrinking(const char *directory)
{
    char name[300];
    int made = 0, gone = 0;
    if (mkdir(directory, 0700))
        return fail("a directory");
    for (; made < 500; made++) {
        snprintf(name, sizeof name, "%s/%d-with-a-name-that-is-not-short", directory, made);
        if (symlink("nowhere", name))
            return fail("a link");
    }
    DIR *open = opendir(directory);
    for (struct dirent *entry; (entry = readdir(open));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", directory, entry->d_name);
        if (entry->d_type != DT_LNK || unlink(name))
            return fail("a name");
        gone++;
    }
    if (gone != made || closedir(open) || rmdir(directory))
        return fail("a directory that shrank");
    return 0;
}

int main(int count, char **names)
{
    char directory[300];
    if (count != 2)
        return 2;
    snprintf(directory, sizeof directory, "%s.d", names[1]);
    return holes(names[1]) || locks(names[1]) || shrinking(directory) || unlink(names[1]);
}
