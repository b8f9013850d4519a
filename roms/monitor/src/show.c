/* What the machine is: processor, memory, devices, time. */
#include "chipset.h"
#include "check.h"
#include "monitor.h"

u64 tsc_per_second;

struct feature { const char *name; u32 leaf; u8 reg, bit; };
static const struct feature features[] = {
    { "sse3", 1, 2, 0 }, { "pclmul", 1, 2, 1 }, { "vmx", 1, 2, 5 }, { "ssse3", 1, 2, 9 }, { "fma", 1, 2, 12 },
    { "cx16", 1, 2, 13 }, { "pcid", 1, 2, 17 }, { "sse4.1", 1, 2, 19 }, { "sse4.2", 1, 2, 20 }, { "x2apic", 1, 2, 21 },
    { "movbe", 1, 2, 22 }, { "popcnt", 1, 2, 23 }, { "tsc-deadline", 1, 2, 24 }, { "aes", 1, 2, 25 },
    { "xsave", 1, 2, 26 }, { "avx", 1, 2, 28 }, { "f16c", 1, 2, 29 }, { "rdrand", 1, 2, 30 }, { "hypervisor", 1, 2, 31 },
    { "fpu", 1, 3, 0 }, { "vme", 1, 3, 1 }, { "pse", 1, 3, 3 }, { "sep", 1, 3, 11 }, { "pge", 1, 3, 13 },
    { "mmx", 1, 3, 23 }, { "sse", 1, 3, 25 }, { "sse2", 1, 3, 26 }, { "fsgsbase", 7, 1, 0 }, { "bmi1", 7, 1, 3 },
    { "avx2", 7, 1, 5 }, { "smep", 7, 1, 7 }, { "bmi2", 7, 1, 8 }, { "erms", 7, 1, 9 }, { "invpcid", 7, 1, 10 },
    { "avx512f", 7, 1, 16 }, { "rdseed", 7, 1, 18 }, { "adx", 7, 1, 19 }, { "smap", 7, 1, 20 }, { "sha", 7, 1, 29 },
    { "umip", 7, 2, 2 }, { "pku", 7, 2, 3 }, { "la57", 7, 2, 16 }, { "syscall", 0x80000001, 3, 11 },
    { "nx", 0x80000001, 3, 20 }, { "1g-pages", 0x80000001, 3, 26 }, { "rdtscp", 0x80000001, 3, 27 },
    { "lm", 0x80000001, 3, 29 }, { "lahf", 0x80000001, 2, 0 }, { "lzcnt", 0x80000001, 2, 5 },
};

static void say_word(u32 word)
{
    for (int i = 0; i < 4; i++, word >>= 8)
        if (word & 0xFF)
            put_char(word);
}

static void say_brand(void)
{
    u32 id[4];
    cpuid(0x80000000, 0, id);
    if (id[0] >= 0x80000004) {
        for (u32 leaf = 0x80000002; leaf <= 0x80000004; leaf++) {
            cpuid(leaf, 0, id);
            for (int i = 0; i < 4; i++)
                say_word(id[i]);
        }
    } else {
        say("unnamed");
    }
}

static void say_features(void)
{
    u32 id[4], highest, column = 0;
    cpuid(0, 0, id);
    highest = id[0];
    for (u32 i = 0; i < sizeof features / sizeof *features; i++) {
        const struct feature *f = &features[i];
        if (f->leaf < 0x80000000 && f->leaf > highest)
            continue;
        cpuid(f->leaf, 0, id);
        if (!(id[f->reg] >> f->bit & 1))
            continue;
        u32 length = 1;
        for (const char *c = f->name; *c; c++)
            length++;
        if (column + length > 64) {
            say("\n            ");
            column = 0;
        }
        say(f->name);
        say(" ");
        column += length;
    }
    say("\n");
}

void show_cpu(void)
{
    u32 id[4];
    say("  processor ");
    say_brand();
    cpuid(0, 0, id);
    say("\n  vendor    ");
    say_word(id[1]);
    say_word(id[3]);
    say_word(id[2]);
    cpuid(1, 0, id);
    say(", family ");
    say_dec((id[0] >> 8 & 15) + (id[0] >> 20 & 0xFF), 0);
    say(" model ");
    say_dec((id[0] >> 4 & 15) | (id[0] >> 12 & 0xF0), 0);
    say(" stepping ");
    say_dec(id[0] & 15, 0);
    say("\n  features  ");
    say_features();
    say("  vCPUs     ");
    say_dec(cpu_count(), 0);
    say("\n");
}

void show_memory(void)
{
    u64 size = ram_bytes();
    say("  memory    ");
    if (size >> 20)
        say_dec(size >> 20, 0);
    else
        say_dec(size >> 10, 0);
    say(size >> 20 ? " MiB" : " KiB");
    say(fw_cfg_present() ? " (fw_cfg)\n" : " (CMOS)\n");
}

static const char *class_name(u32 class)
{
    switch (class >> 8) {
    case 0x0101: return "IDE controller";
    case 0x0106: return "SATA controller";
    case 0x0108: return "NVMe controller";
    case 0x0100: return "storage controller";
    case 0x0200: return "network controller";
    case 0x0300: return "VGA controller";
    case 0x0403: return "audio device";
    case 0x0500: return "memory controller";
    case 0x0600: return "host bridge";
    case 0x0601: return "ISA bridge";
    case 0x0604: return "PCI bridge";
    case 0x0C03: return "USB controller";
    case 0x0C05: return "SMBus controller";
    default: return "device";
    }
}

static void show_function(u32 device, u32 function, u32 id)
{
    u32 class = pci_read(0, device, function, 8) >> 8;
    say("  00:");
    say_hex(device, 2);
    say(".");
    say_hex(function, 1);
    say("   ");
    say_hex(id & 0xFFFF, 4);
    say(":");
    say_hex(id >> 16, 4);
    say("  ");
    say(class_name(class));
    say("\n");
}

void show_pci(void)
{
    for (u32 device = 0; device < 32; device++) {
        u32 functions = pci_read(0, device, 0, 0xC) >> 23 & 1 ? 8 : 1;
        for (u32 function = 0; function < functions; function++) {
            u32 id = pci_read(0, device, function, 0);
            if ((id & 0xFFFF) != 0xFFFF)
                show_function(device, function, id);
        }
    }
}

static u32 decimal(u8 bcd)
{
    return cmos_read(0x0B) & 4 ? bcd : (bcd >> 4) * 10 + (bcd & 15);
}

static void say_two(u32 value)
{
    put_char('0' + value / 10 % 10);
    put_char('0' + value % 10);
}

void show_time(void)
{
    while (cmos_read(0x0A) & 0x80)
        asm volatile("pause");
    u8 century = cmos_read(0x32);
    say("  date      ");
    say_two(century ? decimal(century) : 20);
    say_two(decimal(cmos_read(9)));
    say("-");
    say_two(decimal(cmos_read(8)));
    say("-");
    say_two(decimal(cmos_read(7)));
    say(" ");
    say_two(decimal(cmos_read(4)));
    say(":");
    say_two(decimal(cmos_read(2)));
    say(":");
    say_two(decimal(cmos_read(0)));
    say(" UTC\n  TSC       ");
    say_dec(tsc_per_second / 1000000, 0);
    say(" MHz, now ");
    say_dec(rdtsc(), 0);
    u32 period = mmio_read(HPET + 4);
    if (period && period <= 100000000) {
        say("\n  HPET      ");
        say_dec(1000000000 / (period / 1000), 0);
        say(" kHz");
    }
    say("\n  PM timer  3.58 MHz, tick ");
    say_dec(TICK_HZ, 0);
    say(" Hz\n");
}

void show_interrupts(void)
{
    say("  timer     ");
    say_dec(ticks, 8);
    say("\n  serial    ");
    say_dec(serial_interrupts, 8);
    say("\n");
}

void banner(void)
{
    say("\nAmber monitor\n\n");
    show_cpu();
    show_memory();
    show_time();
    say("\n");
    show_pci();
    say("\nType `help` for commands; end of input (Ctrl-D) tests the machine and powers off.\n");
}
