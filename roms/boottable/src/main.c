/* A firmware's boot table: header, checksum, records of type, length and value. Fuzzed by the example of docs/harness.md,
   and wrong in one place for its sake. */
#include "check.h"

#define TABLE ((const volatile u8 *)0x200000)
#define TABLE_MAX 1024u

enum { HEADER = 12, VERSION = 2 };
enum record { END, TITLE, TIMEOUT, CONSOLE, LOGO };
enum mode { SERIAL, TEXT, GRAPHICS };
enum verdict { ACCEPTED = 0x10, BAD_HEADER = 2, BAD_CHECKSUM = 3, BAD_RECORD = 4, BAD_LOGO = 5 };

#define ROW 64
struct logo {
    u8 row[ROW];
    void (*draw)(const u8 *row, u32 width);
};

static struct { u8 title[32], mode; u16 timeout; u32 pixels; } settings;
static struct logo logo;

static u16 word_at(const u8 *from) { return from[0] | from[1] << 8; }

static void draw_text(const u8 *row, u32 width) { settings.pixels += row[0] + width; }

static void draw_graphics(const u8 *row, u32 width)
{
    for (u32 i = 0; i < width; i++)
        settings.pixels += row[i];
}

static int same(const u8 *from, const char *text)
{
    for (; *text; from++, text++)
        if (*from != (u8)*text)
            return 0;
    return 1;
}

/* A picture's only row, packed: runs of how (0: copied, 1: repeated), how many, and the pixels or the one to repeat. */
static int unpack(const u8 *from, u32 len, u8 width)
{
    u8 x = 0;
    while (len >= 3) {
        u8 repeated = from[0], count = from[1];
        u32 pixels = repeated ? 1 : count;
        if (repeated > 1 || len - 2 < pixels)
            return 0;
        /* The planted bug: the sum is cut to 8 bits, so that a run may go far beyond the row. */
        u8 end = x + count;
        if (end > width)
            return 0;
        for (u32 i = 0; i < count; i++)
            ((volatile u8 *)logo.row)[x + i] = from[2 + (repeated ? 0 : i)];
        from += 2 + pixels;
        len -= 2 + pixels;
        x = end;
    }
    return len == 0;
}

/* 'L', depth, flags (1: packed), width, pixels. */
static int show_logo(const u8 *from, u32 len)
{
    if (len < 5 || from[0] != 'L')
        return 0;
    u8 depth = from[1], flags = from[2], width = from[3];
    if (settings.mode == SERIAL || width == 0 || width > ROW)
        return 0;
    logo.draw = settings.mode == GRAPHICS ? draw_graphics : draw_text;
    from += 4;
    len -= 4;
    if (flags & 1) {
        if (depth != 8 || !unpack(from, len, width))
            return 0;
    } else {
        if (len != width)
            return 0;
        for (u32 i = 0; i < width; i++)
            logo.row[i] = from[i];
    }
    logo.draw(logo.row, width);
    return 1;
}

static enum verdict record(u8 type, const u8 *from, u32 len)
{
    switch (type) {
    case TITLE:
        if (len == 0 || len > sizeof settings.title)
            return BAD_RECORD;
        for (u32 i = 0; i < len; i++) {
            if (from[i] < ' ' || from[i] > '~')
                return BAD_RECORD;
            settings.title[i] = from[i];
        }
        return ACCEPTED;
    case TIMEOUT:
        if (len != 2)
            return BAD_RECORD;
        settings.timeout = word_at(from);
        return ACCEPTED;
    case CONSOLE:
        if (len != 2 || from[0] > GRAPHICS)
            return BAD_RECORD;
        /* Graphics wants a depth. */
        if (from[0] == GRAPHICS && from[1] != 8 && from[1] != 32)
            return BAD_RECORD;
        settings.mode = from[0];
        return ACCEPTED;
    case LOGO:
        return show_logo(from, len) ? ACCEPTED : BAD_LOGO;
    default:
        return BAD_RECORD;
    }
}

/* Header: "BOOT", version (byte), zero (byte), length of all (word), sum of all bytes 0 (byte), zeroes to offset 12. */
static enum verdict parse(const u8 *table)
{
    if (!same(table, "BOOT") || table[4] != VERSION)
        return BAD_HEADER;
    u32 len = word_at(table + 6);
    if (len < HEADER || len > TABLE_MAX)
        return BAD_HEADER;
    u8 sum = 0;
    for (u32 i = 0; i < len; i++)
        sum += table[i];
    if (sum)
        return BAD_CHECKSUM;
    for (u32 at = HEADER; at + 3 <= len;) {
        u8 type = table[at];
        u32 size = word_at(table + at + 1);
        at += 3;
        if (type == END)
            return ACCEPTED;
        if (size > len - at)
            return BAD_RECORD;
        enum verdict verdict = record(type, table + at, size);
        if (verdict != ACCEPTED)
            return verdict;
        at += size;
    }
    return BAD_RECORD;
}

/* What is in flash where nobody put anything else: one title. */
static const u8 standard[] = "BOOT\x02\0\x17\0\xC6\0\0\0\x01\x05\0Amber\0\0\0";

void main64(void)
{
    uart_init();
    print("Amber boottable\n");
    for (u32 i = 0; i < sizeof standard - 1; i++)
        ((volatile u8 *)TABLE)[i] = standard[i];
    /* Whoever puts another table there does it now. */
    print("parse\n");
    outb(0xF4, parse((const u8 *)TABLE));
    for (;;)
        asm volatile("cli; hlt");
}
