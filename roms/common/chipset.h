/* Q35/ICH9 devices that every image uses: interrupt controllers, timers, fw_cfg, power. */
#ifndef CHIPSET_H
#define CHIPSET_H
#include "types.h"

#define PMBASE 0x600
#define PM_TIMER_HZ 3579545u
#define PIT_HZ 1193182u

#define LAPIC 0xFEE00000u
#define LAPIC_ID 0x20
#define LAPIC_VERSION 0x30
#define LAPIC_TPR 0x80
#define LAPIC_PPR 0xA0
#define LAPIC_EOI 0xB0
#define LAPIC_LDR 0xD0
#define LAPIC_SVR 0xF0
#define LAPIC_ISR 0x100
#define LAPIC_IRR 0x200
#define LAPIC_ESR 0x280
#define LAPIC_ICR_LOW 0x300
#define LAPIC_ICR_HIGH 0x310
#define LAPIC_LVT_TIMER 0x320
#define LAPIC_LINT0 0x350
#define LAPIC_LINT1 0x360
#define LAPIC_INITIAL 0x380
#define LAPIC_CURRENT 0x390
#define LAPIC_DIVIDE 0x3E0
#define LVT_MASKED 0x10000
#define IOAPIC 0xFEC00000u
#define HPET 0xFED00000u
#define RCBA 0xFED1C000u

static inline u32 mmio_read(u64 address) { return *(volatile u32 *)address; }
static inline void mmio_write(u64 address, u32 value) { *(volatile u32 *)address = value; }
static inline u32 lapic_read(u32 reg) { return mmio_read(LAPIC + reg); }
static inline void lapic_write(u32 reg, u32 value) { mmio_write(LAPIC + reg, value); }
static inline void eoi(void) { lapic_write(LAPIC_EOI, 0); }

static u32 ioapic_read(u8 reg)
{
    mmio_write(IOAPIC, reg);
    return mmio_read(IOAPIC + 0x10);
}

static void ioapic_write(u8 reg, u32 value)
{
    mmio_write(IOAPIC, reg);
    mmio_write(IOAPIC + 0x10, value);
}

static void ioapic_route(u8 pin, u32 low, u8 destination)
{
    ioapic_write(0x11 + 2 * pin, (u32)destination << 24);
    ioapic_write(0x10 + 2 * pin, low);
}

static u32 pci_read(u32 bus, u32 device, u32 function, u32 reg)
{
    outl(0xCF8, 0x80000000 | bus << 16 | device << 11 | function << 8 | (reg & 0xFC));
    return inl(0xCFC);
}

static void pci_write(u32 bus, u32 device, u32 function, u32 reg, u32 value)
{
    outl(0xCF8, 0x80000000 | bus << 16 | device << 11 | function << 8 | (reg & 0xFC));
    outl(0xCFC, value);
}

/* ICH9 datasheet 13.1: PMBASE, ACPI_CNTL and RCBA of the LPC bridge; then HPTC, which enables the HPET. */
static void chipset_init(void)
{
    pci_write(0, 31, 0, 0x40, PMBASE | 1);
    pci_write(0, 31, 0, 0x44, pci_read(0, 31, 0, 0x44) | 0x80);
    pci_write(0, 31, 0, 0xF0, RCBA | 1);
    mmio_write(RCBA + 0x3404, mmio_read(RCBA + 0x3404) | 0x80);
}

/* ACPI S5: SLP_TYP 0 with SLP_EN in PM1a_CNT. */
static void __attribute__((noreturn)) power_off(void)
{
    outw(PMBASE + 4, 1 << 13);
    for (;;)
        asm volatile("cli; hlt");
}

static u32 pm_timer(void)
{
    return inl(PMBASE + 8) & 0xFFFFFF;
}

/* Waits by the PM timer; at most 4 seconds. */
static void delay_us(u32 us)
{
    u32 ticks = (u64)us * PM_TIMER_HZ / 1000000, start = pm_timer();
    while (((pm_timer() - start) & 0xFFFFFF) < ticks)
        asm volatile("pause");
}

/* TSC ticks per second, measured over 20 ms of the PM timer. */
static u64 tsc_hz(void)
{
    u32 start = pm_timer(), ticks;
    u64 tsc = rdtsc();
    do
        ticks = (pm_timer() - start) & 0xFFFFFF;
    while (ticks < PM_TIMER_HZ / 50);
    return (rdtsc() - tsc) * PM_TIMER_HZ / ticks;
}

static void pic_init(u8 master, u8 slave)
{
    outb(0x20, 0x11);
    outb(0xA0, 0x11);
    outb(0x21, master);
    outb(0xA1, slave);
    outb(0x21, 4);
    outb(0xA1, 2);
    outb(0x21, 1);
    outb(0xA1, 1);
    outb(0x21, 0xFF);
    outb(0xA1, 0xFF);
}

static void pit_rate(u32 hz)
{
    u32 divisor = PIT_HZ / hz;
    outb(0x43, 0x34);
    outb(0x40, divisor);
    outb(0x40, divisor >> 8);
}

static void lapic_enable(void)
{
    lapic_write(LAPIC_SVR, 0x1FF);
    lapic_write(LAPIC_TPR, 0);
}

static u8 cmos_read(u8 reg)
{
    outb(0x70, reg);
    return inb(0x71);
}

static void cmos_write(u8 reg, u8 value)
{
    outb(0x70, reg);
    outb(0x71, value);
}

static int fw_cfg_present(void)
{
    outw(0x510, 0);
    u32 signature = 0;
    for (int i = 0; i < 4; i++)
        signature |= (u32)inb(0x511) << 8 * i;
    return signature == 0x554D4551;
}

static u64 fw_cfg_number(u16 selector, int bytes)
{
    u64 value = 0;
    outw(0x510, selector);
    for (int i = 0; i < bytes; i++)
        value |= (u64)inb(0x511) << 8 * i;
    return value;
}

/* FW_CFG_NB_CPUS, else the CMOS byte SeaBIOS uses. */
static u32 cpu_count(void)
{
    u32 count = fw_cfg_present() ? fw_cfg_number(5, 2) : 0;
    return count ? count : cmos_read(0x5F) + 1u;
}

/* FW_CFG_RAM_SIZE, else CMOS 34h/35h: 64 KiB units above 16 MiB. */
static u64 ram_bytes(void)
{
    u64 size = fw_cfg_present() ? fw_cfg_number(3, 8) : 0;
    return size ? size : ((u64)(cmos_read(0x34) | cmos_read(0x35) << 8) << 16) + (16 << 20);
}

#endif
