/* Reads and writes a disk past the page cache, and says BEGIN and END around each load for the host to take the time.
 *
 * usage: disk-load DEVICE MIBYTES COUNT
 *        MIBYTES of DEVICE are written and read in requests of 1 MiB, then COUNT blocks of 4 KiB anywhere in them, one at a
 *        time and 32 at a time. What was read is summed up, so that two machines can be seen to have read the same.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BLOCK = 4096, LARGE = 1 << 20, DEPTH = 32 };

static int disk;
static uint64_t blocks, large;
static uint64_t random_state, sum;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* What a block holds follows from its place and the load that wrote it. */
static void fill(unsigned char *at, uint64_t length, uint64_t place, uint64_t load) {
    for (uint64_t n = 0; n < length; n += BLOCK) {
        uint64_t word = (place + n) * 0x9E3779B97F4A7C15u + load;
        memset(at + n, (int)(word >> 56), BLOCK);
        memcpy(at + n, &word, sizeof word);
    }
}

static void add(const unsigned char *at, uint64_t length) {
    for (uint64_t n = 0; n < length; n += 512) {
        uint64_t word;
        memcpy(&word, at + n, sizeof word);
        sum = (sum ^ word) * 0x100000001B3u;
    }
}

static void begin(const char *load) {
    sum = 0xCBF29CE484222325u;
    random_state = 0x5EED5EED5EED5EEDu;
    printf("BEGIN %s\n", load);
}

static void end(const char *load) {
    if (fsync(disk)) fail("fsync");
    printf("SUM %s %016llx\nEND %s\n", load, (unsigned long long)sum, load);
}

static void sequential(const char *load, int write, unsigned char *buffer) {
    begin(load);
    for (uint64_t place = 0; place < large; place += LARGE) {
        uint64_t length = large - place < LARGE ? large - place : LARGE;
        if (write) fill(buffer, length, place, 1);
        ssize_t moved = write ? pwrite(disk, buffer, length, (off_t)place) : pread(disk, buffer, length, (off_t)place);
        if (moved != (ssize_t)length) fail(load);
        if (!write) add(buffer, length);
    }
    end(load);
}

static void one_at_a_time(const char *load, int write, unsigned char *buffer, long count) {
    begin(load);
    for (long n = 0; n < count; n++) {
        uint64_t place = next_random() % blocks * BLOCK;
        if (write) fill(buffer, BLOCK, place, 2);
        ssize_t moved = write ? pwrite(disk, buffer, BLOCK, (off_t)place) : pread(disk, buffer, BLOCK, (off_t)place);
        if (moved != BLOCK) fail(load);
        if (!write) add(buffer, BLOCK);
    }
    end(load);
}

static void submit(aio_context_t context, struct iocb *request, int write, unsigned char *buffer) {
    uint64_t place = next_random() % blocks * BLOCK;
    if (write) fill(buffer, BLOCK, place, 3);
    memset(request, 0, sizeof *request);
    request->aio_fildes = (uint32_t)disk;
    request->aio_lio_opcode = write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
    request->aio_buf = (uintptr_t)buffer;
    request->aio_nbytes = BLOCK;
    request->aio_offset = (int64_t)place;
    request->aio_data = (uintptr_t)buffer;
    struct iocb *list[] = {request};
    if (syscall(SYS_io_submit, context, 1, list) != 1) fail("io_submit");
}

static void many_at_a_time(const char *load, int write, unsigned char *buffers, long count) {
    static struct iocb requests[DEPTH];
    aio_context_t context = 0;
    if (syscall(SYS_io_setup, DEPTH, &context)) fail("io_setup");
    begin(load);
    long begun = 0, done = 0;
    for (; begun < DEPTH && begun < count; begun++)
        submit(context, &requests[begun], write, buffers + begun * BLOCK);
    while (done < begun) {
        struct io_event events[DEPTH];
        long some = syscall(SYS_io_getevents, context, 1, DEPTH, events, NULL);
        if (some < 1) fail("io_getevents");
        for (long n = 0; n < some; n++, done++) {
            unsigned char *buffer = (unsigned char *)(uintptr_t)events[n].data;
            if (events[n].res != BLOCK) fail(load);
            /* They end in any order: the sum does not mind. */
            uint64_t word;
            memcpy(&word, buffer, sizeof word);
            if (!write) sum += word;
            if (begun < count) {
                submit(context, &requests[(buffer - buffers) / BLOCK], write, buffer);
                begun++;
            }
        }
    }
    end(load);
    syscall(SYS_io_destroy, context);
}

int main(int count_of_arguments, char **arguments) {
    if (count_of_arguments != 4) return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    disk = open(arguments[1], O_RDWR | O_DIRECT);
    if (disk < 0) fail(arguments[1]);
    large = strtoull(arguments[2], NULL, 10) << 20;
    if (large == 0) large = 1440 << 10;
    blocks = large / BLOCK;
    long count = strtol(arguments[3], NULL, 10);
    unsigned char *buffer = aligned_alloc(BLOCK, LARGE);
    if (!buffer) fail("memory");
    sequential("sequential-write", 1, buffer);
    sequential("sequential-read", 0, buffer);
    one_at_a_time("random-write", 1, buffer, count);
    one_at_a_time("random-read", 0, buffer, count);
    many_at_a_time("random-write-32", 1, buffer, count);
    many_at_a_time("random-read-32", 0, buffer, count);
    return 0;
}
