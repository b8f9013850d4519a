/* Amber's monitor: the guest that runs when none is named. */
#include "chipset.h"
#include "idt64.h"
#include "monitor.h"

struct command { const char *name, *arguments, *help; void (*run)(u64 *, int); };

static void reading(u64 address, u8 *bytes, u32 count, volatile u32 *got)
{
    for (u32 i = 0; i < count; i++) {
        bytes[i] = ((volatile u8 *)address)[i];
        *got = i + 1;
    }
}

static void explain_trap(void)
{
    say("exception ");
    say_dec(trap.vector, 0);
    if (trap.vector == PF) {
        say(": nothing is mapped at ");
        say_hex(trap.cr2, 16);
    }
    say("\n");
}

static void dump(u64 *arg, int given)
{
    u64 address = arg[0], left = given > 1 ? arg[1] : 0x40;
    static u8 bytes[16];
    static volatile u32 got;
    if (left > 0x1000)
        left = 0x1000;
    while (left) {
        u32 want = left < 16 ? left : 16;
        got = 0;
        TRY(reading(address, bytes, want, &got));
        asm volatile("sti");
        if (trap.vector != NO_TRAP) {
            explain_trap();
            return;
        }
        say("  ");
        say_hex(address, 9);
        say(" ");
        for (u32 i = 0; i < 16; i++) {
            say(i == 8 ? "  " : " ");
            if (i < got)
                say_hex(bytes[i], 2);
            else
                say("  ");
        }
        say("  ");
        for (u32 i = 0; i < got; i++)
            put_char(bytes[i] >= ' ' && bytes[i] < 0x7F ? bytes[i] : '.');
        say("\n");
        address += want;
        left -= want;
    }
}

static void poke(u64 *arg, int given)
{
    TRY(for (int i = 1; i < given; i++) ((volatile u8 *)arg[0])[i - 1] = arg[i]);
    asm volatile("sti");
    if (trap.vector != NO_TRAP)
        explain_trap();
}

static void in_port(u64 *arg, int given)
{
    u32 width = given > 1 ? arg[1] : 1;
    u32 value = width == 4 ? inl(arg[0]) : width == 2 ? inw(arg[0]) : inb(arg[0]);
    say("  ");
    say_hex(value, width == 4 ? 8 : width == 2 ? 4 : 2);
    say("\n");
}

static void out_port(u64 *arg, int given)
{
    u32 width = given > 2 ? arg[2] : 1;
    if (width == 4)
        outl(arg[0], arg[1]);
    else if (width == 2)
        outw(arg[0], arg[1]);
    else
        outb(arg[0], arg[1]);
}

static void cpu(u64 *arg, int given) { (void)arg, (void)given; show_cpu(); }
static void mem(u64 *arg, int given) { (void)arg, (void)given; show_memory(); }
static void pci(u64 *arg, int given) { (void)arg, (void)given; show_pci(); }
static void time(u64 *arg, int given) { (void)arg, (void)given; show_time(); }
static void irq(u64 *arg, int given) { (void)arg, (void)given; show_interrupts(); }
static void test(u64 *arg, int given) { (void)arg, (void)given; run_selftest(); }

static void reboot(u64 *arg, int given)
{
    (void)arg, (void)given;
    say("rebooting\n");
    outb(0xCF9, 2);
    outb(0xCF9, 6);
    for (;;)
        asm volatile("cli; hlt");
}

static void off(u64 *arg, int given)
{
    (void)arg, (void)given;
    say("powering off\n");
    power_off();
}

static void help(u64 *arg, int given);

static const struct command commands[] = {
    { "help", "", "this list", help },
    { "cpu", "", "processor and its features", cpu },
    { "mem", "", "memory", mem },
    { "pci", "", "PCI devices", pci },
    { "time", "", "clocks", time },
    { "dump", "ADDR [LEN]", "show physical memory", dump },
    { "poke", "ADDR BYTE...", "change physical memory", poke },
    { "in", "PORT [WIDTH]", "read a port, 1, 2 or 4 bytes", in_port },
    { "out", "PORT VALUE [WIDTH]", "write a port", out_port },
    { "irq", "", "interrupt counts", irq },
    { "test", "", "test processor, memory, timers, interrupts", test },
    { "reboot", "", "reset the machine", reboot },
    { "off", "", "power off", off },
};
#define COMMANDS (sizeof commands / sizeof *commands)

static void pad(const char *text, int width)
{
    say(text);
    for (; *text; text++)
        width--;
    while (width-- > 0)
        put_char(' ');
}

static void help(u64 *arg, int given)
{
    (void)arg, (void)given;
    for (u32 i = 0; i < COMMANDS; i++) {
        say("  ");
        pad(commands[i].name, 7);
        pad(commands[i].arguments, 20);
        say(commands[i].help);
        say("\n");
    }
    say("  Numbers are hexadecimal.\n");
}

/* Splits off the next word. */
static char *next_word(char **rest)
{
    char *word = *rest;
    while (*word == ' ')
        word++;
    char *end = word;
    while (*end && *end != ' ')
        end++;
    *rest = *end ? end + 1 : end;
    *end = 0;
    return word;
}

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static int parse(const char *text, u64 *value)
{
    if (text[0] == '0' && (text[1] | 32) == 'x')
        text += 2;
    *value = 0;
    for (const char *c = text; *c; c++) {
        u8 lower = *c | 32;
        u8 digit = *c >= '0' && *c <= '9' ? *c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 16;
        if (digit == 16)
            return 0;
        *value = *value << 4 | digit;
    }
    return *text != 0;
}

static int needed(const char *arguments)
{
    int words = 0;
    for (; *arguments && *arguments != '['; arguments++)
        words += *arguments >= 'A' && *arguments <= 'Z' && (arguments[1] < 'A' || arguments[1] > 'Z');
    return words;
}

static void execute(char *line)
{
    char *rest = line, *name = next_word(&rest);
    u64 arg[16];
    int given = 0;
    if (!*name)
        return;
    for (char *word; given < 16 && *(word = next_word(&rest)); given++) {
        if (!parse(word, &arg[given])) {
            say(word);
            say(": not a hexadecimal number\n");
            return;
        }
    }
    for (u32 i = 0; i < COMMANDS; i++) {
        if (!same(name, commands[i].name))
            continue;
        if (given < needed(commands[i].arguments)) {
            say("usage: ");
            say(name);
            say(" ");
            say(commands[i].arguments);
            say("\n");
        } else {
            commands[i].run(arg, given);
        }
        return;
    }
    say(name);
    say(": unknown; try `help`\n");
}

void main64(void)
{
    static char line[128];
    crlf = 1;
    uart_init();
    idt64_init();
    chipset_init();
    pic_init(0x20, 0x28);
    lapic_enable();
    tsc_per_second = tsc_hz();
    mmio_write(HPET + 0x10, 1);
    banner();
    console_init();
    for (int more = 1; more;) {
        say("> ");
        more = read_line(line, sizeof line);
        execute(line);
    }
    say("end of input: self-test\n");
    if (!run_selftest())
        finish();
    say("powering off\n");
    power_off();
}
