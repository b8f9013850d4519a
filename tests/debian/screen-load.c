/* Draws whole screens as fast as it can, and says BEGIN and END around each load for the host to take the time.
 *
 * usage: screen-load
 *        A linear frame buffer of 1024x768 with 32 bits a pixel (the DISPI interface) is filled and then scrolled, 320x200 in
 *        256 colours and 640x480 in 16 (four planes) are drawn through the window at A0000h. Each load sums up what it can read
 *        of its last screen, so that two machines can be seen to have drawn the same.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WIDTH = 1024, HEIGHT = 768, PIXELS = WIDTH * HEIGHT };
enum { FILLS = 400, SCROLLS = 100, CHAINED = 4000, PLANAR = 400 };

/* What the VGA's registers hold in modes 13h and 12h. */
struct mode {
    uint8_t miscellaneous, sequencer[5], crtc[25], graphics[9], attribute[21];
};

static const struct mode MODE_13H = {
    0x63,
    {0x03, 0x01, 0x0F, 0x00, 0x0E},
    {0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0x00, 0x41, 0, 0, 0, 0, 0, 0, 0x9C, 0x0E, 0x8F, 0x28, 0x40, 0x96, 0xB9, 0xA3, 0xFF},
    {0, 0, 0, 0, 0, 0x40, 0x05, 0x0F, 0xFF},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x41, 0, 0x0F, 0, 0},
};
static const struct mode MODE_12H = {
    0xE3,
    {0x03, 0x01, 0x0F, 0x00, 0x06},
    {0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0x0B, 0x3E, 0x00, 0x40, 0, 0, 0, 0, 0, 0, 0xEA, 0x0C, 0xDF, 0x28, 0x00, 0xE7, 0x04, 0xE3, 0xFF},
    {0, 0, 0, 0, 0, 0, 0x05, 0x0F, 0xFF},
    {0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F, 0x01, 0, 0x0F, 0, 0},
};

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void set_indexed(uint16_t port, uint8_t index, uint8_t value) {
    outb(index, port);
    outb(value, port + 1);
}

static void set_mode(const struct mode *mode) {
    outb(mode->miscellaneous, 0x3C2);
    for (int n = 0; n < 5; n++) set_indexed(0x3C4, n, mode->sequencer[n]);
    set_indexed(0x3D4, 0x11, 0);
    for (int n = 0; n < 25; n++) set_indexed(0x3D4, n, mode->crtc[n]);
    for (int n = 0; n < 9; n++) set_indexed(0x3CE, n, mode->graphics[n]);
    for (int n = 0; n < 21; n++) {
        inb(0x3DA);
        outb(n, 0x3C0);
        outb(mode->attribute[n], 0x3C0);
    }
    inb(0x3DA);
    outb(0x20, 0x3C0);
}

static void dispi(uint16_t index, uint16_t value) {
    outw(index, 0x1CE);
    outw(value, 0x1CF);
}

static volatile uint32_t *linear_frame_buffer(void) {
    DIR *folder = opendir("/sys/bus/pci/devices");
    if (!folder) fail("/sys/bus/pci/devices");
    for (struct dirent *entry; (entry = readdir(folder));) {
        char name[600], class[16] = "";
        snprintf(name, sizeof name, "/sys/bus/pci/devices/%s/class", entry->d_name);
        FILE *file = fopen(name, "r");
        if (!file) continue;
        char *read = fgets(class, sizeof class, file);
        fclose(file);
        if (!read || strncmp(class, "0x0300", 6)) continue;
        snprintf(name, sizeof name, "/sys/bus/pci/devices/%s/resource0", entry->d_name);
        int memory = open(name, O_RDWR);
        if (memory < 0) fail(name);
        void *at = mmap(NULL, PIXELS * 4, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
        if (at == MAP_FAILED) fail(name);
        return at;
    }
    fprintf(stderr, "there is no VGA\n");
    exit(1);
}

static void begin(const char *load, int frames) { printf("BEGIN %s %d\n", load, frames); }

static void end(const char *load, const volatile uint8_t *screen, uint64_t length) {
    uint64_t sum = 0xCBF29CE484222325u;
    for (uint64_t n = 0; n < length; n += 4) sum = (sum ^ *(const volatile uint32_t *)(screen + n)) * 0x100000001B3u;
    printf("SUM %s %016llx\nEND %s\n", load, (unsigned long long)sum, load);
}

static void draw_linear(volatile uint32_t *screen) {
    dispi(4, 0);
    dispi(1, WIDTH);
    dispi(2, HEIGHT);
    dispi(3, 32);
    dispi(4, 0x41);
    begin("linear-fill", FILLS);
    for (uint32_t frame = 0; frame < FILLS; frame++)
        for (uint32_t n = 0; n < PIXELS; n++) screen[n] = frame * 0x010203 + n;
    end("linear-fill", (volatile uint8_t *)screen, WIDTH * 64 * 4);
    begin("linear-scroll", SCROLLS);
    for (uint32_t frame = 0; frame < SCROLLS; frame++) {
        memmove((void *)screen, (void *)(screen + 16 * WIDTH), (PIXELS - 16 * WIDTH) * 4);
        memset((void *)(screen + PIXELS - 16 * WIDTH), (int)frame, 16 * WIDTH * 4);
    }
    end("linear-scroll", (volatile uint8_t *)screen, WIDTH * 64 * 4);
    dispi(4, 0);
}

static void draw_window(volatile uint8_t *window) {
    set_mode(&MODE_13H);
    begin("chained-320x200", CHAINED);
    for (uint32_t frame = 0; frame < CHAINED; frame++)
        for (uint32_t n = 0; n < 320 * 200; n += 4) *(volatile uint32_t *)(window + n) = frame * 0x01010101 + n;
    end("chained-320x200", window, 320 * 200);
    set_mode(&MODE_12H);
    begin("planar-640x480", PLANAR);
    for (uint32_t frame = 0; frame < PLANAR; frame++)
        for (int plane = 0; plane < 4; plane++) {
            set_indexed(0x3C4, 2, 1 << plane);
            for (uint32_t n = 0; n < 80 * 480; n += 4) *(volatile uint32_t *)(window + n) = (frame + plane) * 0x01010101 + n;
        }
    end("planar-640x480", window, 80 * 480);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (iopl(3)) fail("iopl");
    int memory = open("/dev/mem", O_RDWR);
    if (memory < 0) fail("/dev/mem");
    volatile uint8_t *window = mmap(NULL, 0x20000, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0xA0000);
    if (window == MAP_FAILED) fail("A0000h");
    draw_linear(linear_frame_buffer());
    draw_window(window);
    return 0;
}
