/* A driver for virtio-blk over PCI (virtio 1.2, 4.1 and 5.2): one function, one queue. */
#ifndef VIRTIO_H
#define VIRTIO_H
#include "chipset.h"

#define VIRTIO_BLK 0x10421AF4u
/* Where the BARs go: no firmware has been here. */
#define MSIX_BAR 0xE0000000u
#define BAR 0xE0010000u
#define QUEUE_SIZE 64
#define FEATURE_INDIRECT (1u << 28)
#define FEATURE_EVENT_INDEX (1u << 29)
#define NEXT 1
#define WRITE 2
#define INDIRECT 4

enum { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8 };
enum { STATUS = 0x14, NEEDS_RESET = 0x40 };

struct descriptor { u64 address; u32 len; u16 flags, next; };
struct request { u32 kind, reserved; u64 sector; };

/* Rings and requests, out of the way of the program. */
#define TABLE ((volatile struct descriptor *)0x800000)
#define DRIVER ((volatile u16 *)0x801000)
#define DEVICE ((volatile u16 *)0x802000)
#define REQUESTS ((volatile struct request *)0x803000)
#define STATUSES ((volatile u8 *)0x804000)
#define INDIRECTS ((volatile struct descriptor *)0x805000)
#define DATA ((volatile u8 *)0x810000)

static u32 slot, common, isr, device, notify;
static u16 offered;

static u8 get8(u32 address) { return *(volatile u8 *)(u64)address; }
static u16 get16(u32 address) { return *(volatile u16 *)(u64)address; }
static void set8(u32 address, u8 value) { *(volatile u8 *)(u64)address = value; }
static void set16(u32 address, u16 value) { *(volatile u16 *)(u64)address = value; }

/* The n-th disk on bus 0; its slot, or 0. */
static u32 find_disk(u32 n)
{
    for (u32 at = 1; at < 31; at++)
        if (pci_read(0, at, 0, 0) == VIRTIO_BLK && !n--)
            return at;
    return 0;
}

/* Places the BARs and finds the structures by their capabilities. */
static void map_disk(void)
{
    pci_write(0, slot, 0, 0x14, MSIX_BAR);
    pci_write(0, slot, 0, 0x20, BAR);
    pci_write(0, slot, 0, 0x24, 0);
    pci_write(0, slot, 0, 4, 6);
    u8 at = pci_read(0, slot, 0, 0x34);
    while (at) {
        u32 head = pci_read(0, slot, 0, at);
        u32 where = BAR + pci_read(0, slot, 0, at + 8);
        if ((head & 0xFF) == 9) {
            switch (head >> 24) {
            case 1: common = where; break;
            case 2: notify = where; break;
            case 3: isr = where; break;
            case 4: device = where; break;
            }
        }
        at = head >> 8;
    }
}

/* Resets the device and sets its queue up; whether it took the features. */
static int start_disk(u32 features, u16 vector)
{
    set8(common + STATUS, 0);
    while (get8(common + STATUS))
        asm volatile("pause");
    for (u32 i = 0; i < 0x10000; i++)
        ((volatile u8 *)TABLE)[i] = 0;
    offered = 0;
    set8(common + STATUS, 3);
    mmio_write(common + 8, 0);
    mmio_write(common + 12, features);
    mmio_write(common + 8, 1);
    mmio_write(common + 12, 1);
    set8(common + STATUS, 0xB);
    if (!(get8(common + STATUS) & 8))
        return 0;
    set16(common + 0x16, 0);
    set16(common + 0x18, QUEUE_SIZE);
    set16(common + 0x1A, vector);
    u64 places[3] = { (u64)TABLE, (u64)DRIVER, (u64)DEVICE };
    for (int i = 0; i < 3; i++) {
        mmio_write(common + 0x20 + 8 * i, places[i]);
        mmio_write(common + 0x24 + 8 * i, 0);
    }
    set16(common + 0x1C, 1);
    set8(common + STATUS, 0xF);
    return 1;
}

static void make_available(u16 head)
{
    DRIVER[2 + offered % QUEUE_SIZE] = head;
    asm volatile("" : : : "memory");
    DRIVER[1] = ++offered;
}

static void ring(void) { set16(notify, 0); }

static void describe(volatile struct descriptor *at, u64 address, u32 len, u16 flags, u16 next)
{
    at->address = address;
    at->len = len;
    at->flags = flags;
    at->next = next;
}

/* Makes request n, of up to 16, and offers it; with `indirect` by a table of its own. */
static void offer(u32 n, u32 kind, u64 sector, u64 data, u32 len, int indirect)
{
    volatile struct descriptor *table = indirect ? INDIRECTS + 4 * n : TABLE + 3 * n;
    u16 first = indirect ? 0 : 3 * n;
    REQUESTS[n].kind = kind;
    REQUESTS[n].sector = sector;
    STATUSES[n] = 0xEE;
    describe(table, (u64)&REQUESTS[n], 16, NEXT, len ? first + 1 : first + 2);
    describe(table + 1, data, len, NEXT | (kind == OUT ? 0 : WRITE), first + 2);
    describe(table + 2, (u64)&STATUSES[n], 1, WRITE, 0);
    if (indirect)
        describe(TABLE + 3 * n, (u64)table, 48, INDIRECT, 0);
    make_available(3 * n);
}

/* Waits until all that was offered was used, at most 4 seconds. */
static int wait(void)
{
    u32 start = pm_timer();
    while (DEVICE[1] != offered) {
        if (((pm_timer() - start) & 0xFFFFFF) > 4 * PM_TIMER_HZ)
            return 0;
        asm volatile("pause");
    }
    return 1;
}

/* One request from beginning to end; its status. */
static u8 carry_out(u32 kind, u64 sector, u64 data, u32 len)
{
    offer(0, kind, sector, data, len, 0);
    ring();
    return wait() ? STATUSES[0] : 0xFF;
}

#endif
