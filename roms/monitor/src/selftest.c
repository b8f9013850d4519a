/* The monitor's self-test: processor, memory, timers and interrupts, in a second of virtual time. */
#include "arith.h"
#include "basics.h"
#include "chipset.h"
#include "idt64.h"
#include "monitor.h"

#define LOW 0x100000ull
#define MOST (8ull << 20)

static volatile u32 seen;

static void on_vector_seen(struct frame64 *frame)
{
    (void)frame;
    seen++;
    eoi();
}

/* Above 1 MiB: every word differs, up and down, then single bits. */
static void check_memory(void)
{
    u64 end = ram_bytes(), wrong = 0;
    if (end > MOST)
        end = MOST;
    if (end <= LOW) {
        skip("memory", "none above 1 MiB");
        return;
    }
    volatile u64 *ram = (u64 *)LOW;
    u64 words = (end - LOW) / 8 / 8;
    for (u64 i = 0; i < words; i++)
        ram[i * 8] = i * 0x9E3779B97F4A7C15;
    for (u64 i = 0; i < words; i++)
        wrong += ram[i * 8] != i * 0x9E3779B97F4A7C15;
    check("addresses are distinct", wrong, 0);
    for (int bit = 0; bit < 64; bit++) {
        ram[bit] = 1ull << bit;
        wrong += ram[bit] != 1ull << bit;
    }
    check("every bit holds", wrong, 0);
    for (u64 i = 0; i < words; i++)
        ram[i * 8] = 0;
    volatile u8 *bytes = (u8 *)LOW + 0xFFD;
    *(volatile u64 *)bytes = 0x0123456789ABCDEF;
    check("a word across pages", bytes[0] | bytes[7] << 8, 0x01EF);
}

static void near(const char *name, u64 got, u64 want)
{
    check(name, got + want / 20 + 2 >= want && got <= want + want / 20 + 2, 1);
}

static void check_timers(void)
{
    u64 tsc = rdtsc();
    delay_us(10000);
    near("TSC against PM timer", (rdtsc() - tsc) / 1000, tsc_per_second / 100000);
    u32 period = mmio_read(HPET + 4);
    if (period && period <= 100000000) {
        u32 before = mmio_read(HPET + 0xF0);
        mmio_write(HPET + 0x10, 1);
        delay_us(10000);
        near("HPET against PM timer", (u64)(mmio_read(HPET + 0xF0) - before) * (period / 1000) / 1000000, 10000);
    }
    u64 before = ticks;
    asm volatile("sti");
    delay_us(500000);
    asm volatile("cli");
    near("PIT interrupts against PM timer", ticks - before, TICK_HZ / 2);
}

static void check_interrupts(void)
{
    on_vector[0x81] = on_vector[0x91] = on_vector_seen;
    seen = 0;
    lapic_write(LAPIC_ICR_LOW, 0x40081);
    check("an IPI waits for IF", seen, 0);
    asm volatile("sti; nop; nop; cli");
    check("and comes", seen, 1);
    lapic_write(LAPIC_TPR, 0x80);
    lapic_write(LAPIC_ICR_LOW, 0x40081);
    asm volatile("sti; nop; nop; cli");
    check("TPR masks", seen, 1);
    lapic_write(LAPIC_TPR, 0);
    asm volatile("sti; nop; nop; cli");
    check("and releases", seen, 2);
    lapic_write(LAPIC_DIVIDE, 0xB);
    lapic_write(LAPIC_LVT_TIMER, 0x91);
    lapic_write(LAPIC_INITIAL, 100000);
    asm volatile("sti");
    for (int ms = 0; seen < 3 && ms < 100; ms++)
        delay_us(1000);
    asm volatile("cli");
    check("local APIC timer", seen, 3);
    lapic_write(LAPIC_LVT_TIMER, LVT_MASKED);
}

static void processor(void)
{
    check_integer();
}

static void basics(void)
{
    check_basics(1);
}

struct part { const char *name; void (*run)(void); };
static const struct part parts[] = {
    { "integer arithmetic     ", processor }, { "strings, traps, x87, SSE", basics }, { "memory                 ", check_memory },
    { "timers                 ", check_timers }, { "interrupts             ", check_interrupts },
};

/* Runs everything with interrupts off; true if all is well. */
int run_selftest(void)
{
    checks = failures = 0;
    quiet = 1;
    asm volatile("cli");
    for (u32 i = 0; i < sizeof parts / sizeof *parts; i++) {
        u32 before = checks, bad = failures;
        parts[i].run();
        say(failures == bad ? "  ok    " : "  FAIL  ");
        say(parts[i].name);
        say_dec(checks - before, 5);
        say(" checks\n");
    }
    asm volatile("sti");
    quiet = 0;
    say(failures ? "FAIL " : "PASS ");
    if (failures) {
        say_dec(failures, 0);
        say(" of ");
    }
    say_dec(checks, 0);
    say(" checks\n");
    return failures == 0;
}
