/* virtio-blk disks, one or two: the second read-only. The image under each is a copy of this very image. */
#include "idt64.h"
#include "virtio.h"

#define ROM 0xFFFF0000u
#define SECTOR 512
#define VECTOR 0x61
#define ROUNDS 12
#define IN_FLIGHT 16

static volatile u32 interrupts, causes;

static void on_message(struct frame64 *frame)
{
    (void)frame;
    interrupts++;
    eoi();
}

static void on_pin(struct frame64 *frame)
{
    (void)frame;
    interrupts++;
    causes |= get8(isr);
    eoi();
}

static void open_for(u32 us)
{
    asm volatile("sti");
    delay_us(us);
    asm volatile("cli");
}

static u32 sectors(void) { return mmio_read(device); }

/* What round `round` writes to byte `at` of a sector. */
static u8 pattern(u32 round, u32 sector, u32 at) { return (round + 1) * 37 + sector * 11 + at; }

static u32 differing(volatile u8 *a, volatile u8 *b, u32 len)
{
    u32 count = 0;
    for (u32 i = 0; i < len; i++)
        count += a[i] != b[i];
    return count;
}

static void check_function(void)
{
    pci_write(0, slot, 0, 0x14, ~0u);
    check("BAR 1 is 4 KiB of memory", pci_read(0, slot, 0, 0x14), 0xFFFFF000);
    pci_write(0, slot, 0, 0x20, ~0u);
    pci_write(0, slot, 0, 0x24, ~0u);
    check("BAR 4 is 16 KiB of 64-bit memory", pci_read(0, slot, 0, 0x20) & ~8u, 0xFFFFC004);
    check("and its upper half is there", pci_read(0, slot, 0, 0x24), 0xFFFFFFFF);
    map_disk();
    check("all structures are found", common && notify && isr && device, 1);
    check("one queue", get16(common + 0x12) >= 1, 1);
    pci_write(0, slot, 0, 0x20, BAR + 0x100000);
    tcg_lacks = 1;
    check("nothing is left where BAR 4 was", mmio_read(device), 0xFFFFFFFF);
    tcg_lacks = 0;
    check("it moved", mmio_read(device + 0x100000) != 0xFFFFFFFF, 1);
    pci_write(0, slot, 0, 4, 4);
    tcg_lacks = 1;
    check("memory decoding off", mmio_read(device + 0x100000), 0xFFFFFFFF);
    tcg_lacks = 0;
    map_disk();
    check("a power of 2 of queue entries", get16(common + 0x18) & (get16(common + 0x18) - 1), 0);
}

static void check_features(void)
{
    check("version 1 is a must", start_disk(0, 0xFFFF), 1);
    set8(common + STATUS, 0);
    set8(common + STATUS, 3);
    mmio_write(common + 8, 0);
    mmio_write(common + 12, 1u << 27 | 1);
    set8(common + STATUS, 0xB);
    tcg_lacks = 1;
    check("what is not offered is refused", get8(common + STATUS) & 8, 0);
    tcg_lacks = 0;
}

static void check_image(void)
{
    check("a read succeeds", carry_out(IN, 0, (u64)DATA, 16 * SECTOR), 0);
    check("what nobody wrote is the image's", differing(DATA, (u8 *)(u64)ROM, 16 * SECTOR), 0);
    check("the last sector", carry_out(IN, sectors() - 1, (u64)DATA, SECTOR), 0);
    check("is the end of the image", differing(DATA, (u8 *)(u64)(ROM + 0xFE00), SECTOR), 0);
}

/* Many requests at once, over and over, with and without indirect tables; then everything is read back. */
static void check_transfers(int indirect)
{
    u32 bad = 0, lost = 0;
    for (u32 round = 0; round < ROUNDS; round++) {
        for (u32 n = 0; n < IN_FLIGHT; n++) {
            volatile u8 *data = DATA + n * 3 * SECTOR;
            for (u32 i = 0; i < 3 * SECTOR; i++)
                data[i] = pattern(round, n * 3 + i / SECTOR, i);
            offer(n, OUT, n * 5 + round % 3, (u64)data, 3 * SECTOR, indirect);
            if (n % 5 == 0)
                ring();
        }
        ring();
        lost += !wait();
        lost += carry_out(FLUSH, 0, 0, 0) != 0;
        for (u32 n = 0; n < IN_FLIGHT; n++) {
            offer(n, IN, n * 5 + round % 3, (u64)(DATA + 0x10000 + n * 3 * SECTOR), 3 * SECTOR, indirect);
            ring();
        }
        lost += !wait();
        bad += differing(DATA, DATA + 0x10000, IN_FLIGHT * 3 * SECTOR);
    }
    check(indirect ? "indirect requests come back" : "requests come back", lost, 0);
    check("what was written is read", bad, 0);
}

static void check_errors(void)
{
    check("behind the end", carry_out(IN, sectors(), (u64)DATA, SECTOR), 1);
    check("across the end", carry_out(OUT, sectors() - 1, (u64)DATA, 2 * SECTOR), 1);
    check("half a sector", carry_out(IN, 0, (u64)DATA, SECTOR / 2), 1);
    check("an unknown request", carry_out(77, 0, (u64)DATA, SECTOR), 2);
    check("a name", carry_out(GET_ID, 0, (u64)DATA, 20), 0);
    describe(TABLE, (u64)&REQUESTS[0], 16, NEXT, 0);
    make_available(0);
    ring();
    delay_us(1000);
    check("an endless chain needs a reset", get8(common + STATUS) & NEEDS_RESET, NEEDS_RESET);
    check("which helps", start_disk(0, 0xFFFF), 1);
    check("a read succeeds again", carry_out(IN, 0, (u64)DATA, SECTOR), 0);
}

static void check_pin(void)
{
    u8 id = lapic_read(LAPIC_ID) >> 24;
    u8 pin = 16 + 4 + (slot & 3);
    /* Takes the pin down, which nobody has listened to so far. */
    start_disk(0, 0xFFFF);
    on_vector[VECTOR] = on_pin;
    ioapic_route(pin, 0x8000 | VECTOR, id);
    interrupts = causes = 0;
    offer(0, IN, 0, (u64)DATA, SECTOR, 0);
    ring();
    open_for(2000);
    check("INTA# comes by the IOAPIC", interrupts, 1);
    check("because of the queue", causes, 1);
    DRIVER[0] = 1;
    offer(0, IN, 0, (u64)DATA, SECTOR, 0);
    ring();
    open_for(2000);
    check("none that the driver does not want", interrupts, 1);
    check("though the request is done", DEVICE[1], offered);
    ioapic_route(pin, LVT_MASKED, 0);
}

static void check_messages(void)
{
    u8 id = lapic_read(LAPIC_ID) >> 24;
    on_vector[VECTOR] = on_message;
    mmio_write(MSIX_BAR + 16, 0xFEE00000 | id << 12);
    mmio_write(MSIX_BAR + 20, 0);
    mmio_write(MSIX_BAR + 24, VECTOR);
    mmio_write(MSIX_BAR + 28, 1);
    u8 at = pci_read(0, slot, 0, 0x34);
    while ((pci_read(0, slot, 0, at) & 0xFF) != 0x11)
        at = pci_read(0, slot, 0, at) >> 8;
    u32 control = pci_read(0, slot, 0, at);
    pci_write(0, slot, 0, at, control | 0x80000000);
    start_disk(FEATURE_EVENT_INDEX, 1);
    u32 pba = MSIX_BAR + (pci_read(0, slot, 0, at + 8) & ~7u);
    interrupts = 0;
    check("a vector", get16(common + 0x1A), 1);
    offer(0, IN, 0, (u64)DATA, SECTOR, 0);
    ring();
    open_for(2000);
    check("a masked message waits", interrupts << 8 | mmio_read(pba), 2);
    mmio_write(MSIX_BAR + 28, 0);
    open_for(100);
    check("until it is unmasked", interrupts << 8 | mmio_read(pba), 0x100);
    /* used_event, behind the available ring: after the third of four. */
    DRIVER[2 + QUEUE_SIZE] = offered + 2;
    for (u32 n = 0; n < 4; n++) {
        offer(n, IN, n, (u64)DATA, SECTOR, 0);
        ring();
        open_for(1000);
        check("a message for the third used entry alone", interrupts, n < 2 ? 1 : 2);
    }
    check("avail_event follows", DEVICE[2 + 4 * QUEUE_SIZE], offered);
    pci_write(0, slot, 0, at, control);
}

static void check_read_only(void)
{
    check("the read-only disk starts", start_disk(1u << 5, 0xFFFF), 1);
    check("it cannot be written", carry_out(OUT, 0, (u64)DATA, SECTOR), 1);
    check("it can be read", carry_out(IN, 8, (u64)DATA, 8 * SECTOR), 0);
    check("and holds the image", differing(DATA, (u8 *)(u64)(ROM + 0x1000), 8 * SECTOR), 0);
}

void main64(void)
{
    uart_init();
    print("Amber disk\n");
    idt64_init();
    chipset_init();
    pic_init(0x20, 0x28);
    lapic_enable();
    slot = find_disk(0);
    if (!slot) {
        skip("virtio-blk", "no disk");
        finish();
    }
    set_mode("disk0");
    check_function();
    check_features();
    start_disk(FEATURE_INDIRECT, 0xFFFF);
    check_image();
    check_transfers(0);
    check_transfers(1);
    check_errors();
    check_pin();
    check_messages();
    set8(common + STATUS, 0);
    pci_write(0, slot, 0, 4, 0);
    slot = find_disk(1);
    if (slot) {
        set_mode("disk1");
        map_disk();
        check_read_only();
    } else {
        skip("read-only disk", "no second disk");
    }
    finish();
}
