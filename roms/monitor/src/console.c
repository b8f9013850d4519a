/* Serial console: interrupt-driven input, line editing, plain output. */
#include "chipset.h"
#include "idt64.h"
#include "monitor.h"

#define END_OF_INPUT 4
#define HISTORY 8
#define LINE 128

volatile u64 ticks, serial_interrupts;
static volatile u8 ring[256];
static volatile u8 head, tail;
static char history[HISTORY][LINE];
static u32 lines;

static void on_serial(struct frame64 *frame)
{
    (void)frame;
    serial_interrupts++;
    inb(COM1 + 2);
    while (inb(COM1 + 5) & 1) {
        u8 byte = inb(COM1);
        if ((u8)(head + 1) != tail)
            ring[head++] = byte;
    }
    eoi();
}

static void on_tick(struct frame64 *frame)
{
    (void)frame;
    ticks++;
    eoi();
}

void console_init(void)
{
    u8 id = lapic_read(LAPIC_ID) >> 24;
    on_vector[VECTOR_SERIAL] = on_serial;
    on_vector[VECTOR_TIMER] = on_tick;
    pit_rate(TICK_HZ);
    ioapic_route(2, VECTOR_TIMER, id);
    ioapic_route(4, VECTOR_SERIAL, id);
    outb(COM1 + 1, 1);
    asm volatile("sti");
}

/* The next byte; the processor sleeps until there is one. */
int console_get(void)
{
    asm volatile("cli");
    while (head == tail)
        asm volatile("sti; hlt; cli");
    u8 byte = ring[tail++];
    asm volatile("sti");
    return byte;
}

void say(const char *text)
{
    for (; *text; text++)
        put_char(*text);
}

void say_hex(u64 value, int digits)
{
    while (digits--)
        put_char("0123456789abcdef"[value >> 4 * digits & 15]);
}

void say_dec(u64 value, int width)
{
    char digits[20];
    int n = 0;
    do
        digits[n++] = '0' + value % 10;
    while (value /= 10);
    for (; width > n; width--)
        put_char(' ');
    while (n)
        put_char(digits[--n]);
}

static int erase(int length)
{
    for (; length; length--)
        say("\b \b");
    return 0;
}

/* Arrow up and down walk through earlier lines. Returns the new length. */
static int recall(char *line, int length, u32 *back, int up)
{
    u32 known = lines < HISTORY ? lines : HISTORY;
    if (up ? *back >= known : *back == 0)
        return length;
    *back += up ? 1 : -1;
    erase(length);
    length = 0;
    if (*back)
        for (char *from = history[(lines - *back) % HISTORY]; from[length]; length++)
            line[length] = from[length];
    line[length] = 0;
    say(line);
    return length;
}

static void remember(const char *line)
{
    if (!line[0])
        return;
    for (int i = 0; i < LINE; i++) {
        history[lines % HISTORY][i] = line[i];
        if (!line[i])
            break;
    }
    lines++;
}

/* Reads an edited line; 0 at the end of input (what was typed before it is still in `line`). */
int read_line(char *line, int size)
{
    static int last;
    int length = 0, escape = 0;
    u32 back = 0;
    for (;;) {
        int byte = console_get(), before = last;
        last = byte;
        line[length] = 0;
        if (escape == 1) {
            escape = byte == '[' ? 2 : 0;
        } else if (escape == 2) {
            escape = 0;
            if (byte == 'A' || byte == 'B')
                length = recall(line, length, &back, byte == 'A');
        } else if (byte == 0x1B) {
            escape = 1;
        } else if (byte == '\n' && before == '\r') {
            continue;
        } else if (byte == '\r' || byte == '\n' || byte == END_OF_INPUT) {
            say("\n");
            remember(line);
            return byte != END_OF_INPUT;
        } else if (byte == 3 || byte == 0x15) {
            length = erase(length);
        } else if ((byte == '\b' || byte == 0x7F) && length) {
            length--;
            say("\b \b");
        } else if (byte >= ' ' && byte < 0x7F && length < size - 1 && length < LINE - 1) {
            line[length++] = byte;
            put_char(byte);
        }
    }
}
