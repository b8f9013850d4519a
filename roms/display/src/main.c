/* The screen, the keyboard and the mouse: checks of them, and pictures in every kind of mode. With an `i` waiting on COM1 it
 * shows one picture after the other until a key is pressed, and then lists the keys that are. */
#include "idt64.h"
#include "font.h"
#include "ps2.h"

#define ESC 0x01
#define RELEASED 0x80

static int interactive;

/* A picture is there. */
static void shown(const char *name)
{
    if (!interactive)
        return;
    print("shown ");
    print(name);
    print("\n");
    while (receive(0) & (0x200 | RELEASED))
        ;
}

static void check_function(void)
{
    set_mode("function");
    check("1234:1111 is in slot 1", pci_read(0, 1, 0, 0), DISPLAY);
    check("a VGA", pci_read(0, 1, 0, 8) >> 8, 0x030000);
    pci_write(0, 1, 0, 0x10, ~0u);
    check("16 MiB of frame buffer", pci_read(0, 1, 0, 0x10), 0xFF000008);
    pci_write(0, 1, 0, 0x18, ~0u);
    check("4 KiB of registers", pci_read(0, 1, 0, 0x18), 0xFFFFF000);
    pci_write(0, 1, 0, 0x10, FRAME_BUFFER);
    pci_write(0, 1, 0, 0x18, REGISTERS);
    pci_write(0, 1, 0, 4, 3);
    check("DISPI by ports", dispi_value(ID), 0xB0C5);
    check("DISPI by memory", *(volatile u16 *)(u64)(REGISTERS + 0x500), 0xB0C5);
    u8 sum = 0;
    for (u32 i = 0; i < 128; i++)
        sum += *(volatile u8 *)(u64)(REGISTERS + i);
    check("the monitor's sum", sum, 0);
    check("and its magic number", mmio_read(REGISTERS), 0xFFFFFF00);
    check("QEMU's registers", mmio_read(REGISTERS + 0x600), 8);
    check("little-endian", mmio_read(REGISTERS + 0x604), 0x1E1E1E1E);
}

static void check_text(void)
{
    set_mode("text");
    set_vga(&mode_3);
    set_colours();
    load_font();
    clear_text();
    put_text(0, 0, 0x1F, "AMBER DISPLAY: TEXT");
    check("a character", B8000[0] | B8000[1] << 8, 0x1F00 | 'A');
    for (u32 i = 0; i < 16; i++)
        put_text(2 + i, 4 * i, i << 4 | (15 - i), "0123456789ABCDEF");
    put_text(20, 10, 0x8E, "THIS BLINKS");
    indexed(0x3D4, 0x0E, (22 * 80 + 5) >> 8);
    indexed(0x3D4, 0x0F, (22 * 80 + 5) & 0xFF);
    outb(0x3D4, 0x0F);
    check("the cursor's place", inb(0x3D5), (22 * 80 + 5) & 0xFF);
    shown("text");
}

static void check_planes(void)
{
    set_mode("planes");
    set_vga(&mode_12h);
    for (u32 i = 0; i < 0x9600; i++)
        A0000[i] = 0;
    sequencer(2, 5);
    A0000[7] = 0xA5;
    sequencer(2, 15);
    u32 planes = 0;
    for (u32 plane = 0; plane < 4; plane++) {
        graphics(4, plane);
        planes |= A0000[7] << 8 * plane;
    }
    check("the map mask", planes, 0x00A500A5);
    graphics(5, 8);
    graphics(2, 5);
    graphics(7, 15);
    check("read mode 1", A0000[7], 0xA5);
    graphics(7, 0);
    check("which need not care", A0000[7], 0xFF);
    graphics(7, 15);
    graphics(5, 0);
    graphics(8, 0x0F);
    graphics(3, 0x18);
    (void)A0000[7];
    A0000[7] = 0xFF;
    graphics(3, 0);
    graphics(8, 0xFF);
    graphics(4, 0);
    check("exclusive or under the bit mask", A0000[7], 0xAA);
    graphics(0, 10);
    graphics(1, 15);
    A0000[8] = 0;
    graphics(4, 3);
    check("set/reset", A0000[8], 0xFF);
    graphics(1, 0);
    graphics(5, 1);
    (void)A0000[8];
    A0000[9] = 0;
    graphics(5, 0);
    check("a copy by the latches", A0000[9], 0xFF);
    graphics(5, 3);
    graphics(0, 4);
    (void)A0000[10];
    A0000[10] = 0x3C;
    graphics(5, 0);
    graphics(4, 2);
    check("write mode 3", A0000[10], 0x3C);
    graphics(3, 3);
    sequencer(2, 1);
    A0000[11] = 0x0F;
    graphics(3, 0);
    graphics(4, 0);
    check("rotation", A0000[11], 0xE1);
    sequencer(2, 15);
    graphics(5, 2);
    for (u32 y = 0; y < 480; y++)
        for (u32 x = 0; x < 80; x++)
            A0000[y * 80 + x] = (x / 5 + y / 30) & 15;
    graphics(5, 0);
    shown("planes");
}

static void check_chained(void)
{
    set_mode("chained");
    set_vga(&mode_13h);
    for (u32 i = 0; i < 256; i++)
        set_colour(i, i >> 2, (i * 3) >> 4, 63 - (i >> 2));
    for (u32 i = 0; i < 64000; i++)
        A0000[i] = i % 320 + i / 320;
    u32 wrong = 0;
    for (u32 i = 0; i < 64000; i++)
        wrong += A0000[i] != (u8)(i % 320 + i / 320);
    check("every byte comes back", wrong, 0);
    outb(0x3C7, 9);
    check("a colour", inb(0x3C9) | inb(0x3C9) << 8 | inb(0x3C9) << 16, 0x3D0102);
    shown("chained");
}

static void check_linear(void)
{
    set_mode("linear");
    volatile u32 *pixels = (volatile u32 *)(u64)FRAME_BUFFER;
    pixels[3] = 0x123456;
    dispi(XRES, 800);
    dispi(YRES, 600);
    dispi(BPP, 32);
    dispi(ENABLE, 0x41);
    outb(0x3C0, 0x20);
    check("memory is cleared", pixels[3], 0);
    check("a line is as wide as the screen", dispi_value(VIRT_WIDTH), 800);
    check("16 MiB", dispi_value(VRAM_64K), 256);
    for (u32 y = 0; y < 600; y++)
        for (u32 x = 0; x < 800; x++)
            pixels[y * 800 + x] = (x * 255 / 799) << 16 | (y * 255 / 599) << 8 | ((x ^ y) & 0xFF);
    check("a pixel", pixels[599 * 800 + 799], 0xFFFF00 | ((799 ^ 599) & 0xFF));
    shown("linear");
    dispi(Y_OFFSET, 20);
    check("panning", dispi_value(Y_OFFSET), 20);
    dispi(ENABLE, 2);
    check("capabilities", dispi_value(BPP), 32);
    dispi(ENABLE, 0);
}

static void check_retrace(void)
{
    set_mode("retrace");
    set_vga(&mode_3);
    u32 edges = 0, start = pm_timer();
    u8 last = 0;
    while (((pm_timer() - start) & 0xFFFFFF) < PM_TIMER_HZ / 2) {
        u8 now = inb(0x3DA) & 8;
        edges += now > last;
        last = now;
    }
    /* QEMU's VGA toggles at every look. */
    tcg_lacks = 1;
    check("70 frames a second", edges >= 34 && edges <= 36, 1);
    tcg_lacks = 0;
}

static void check_keyboard(void)
{
    set_mode("keyboard");
    while (receive(1000) != NOTHING)
        ;
    controller(0xAA);
    check("the controller's test", receive(100000), 0x55);
    controller(0x60);
    controller_data(0x44);
    check("echo", keyboard(0xEE), 0xEE);
    controller(0x60);
    controller_data(0x04);
    check("reset", keyboard(0xFF), 0xFA);
    check("and its test", receive(1000000), 0xAA);
    check("set 3", keyboard(0xF0) << 8 | keyboard(3), 0xFAFA);
    check("is asked for", keyboard(0xF0) << 8 | keyboard(0), 0xFAFA);
    check("and told", receive(100000), 3);
    check("all keys with break codes", keyboard(0xFA), 0xFA);
    check("set 2", keyboard(0xF0) << 8 | keyboard(2), 0xFAFA);
    check("lights", keyboard(0xED) << 8 | keyboard(2), 0xFAFA);
    check("typematic rate", keyboard(0xF3) << 8 | keyboard(0x20), 0xFAFA);
    check("who is there", keyboard(0xF2), 0xFA);
    check("a keyboard", receive(100000) << 8 | receive(100000), 0xAB83);
    check("scanning", keyboard(0xF4), 0xFA);
    controller(0xD2);
    controller_data(0x1C);
    check("the controller's own bytes", receive(100000), 0x1C);
    controller(0x60);
    controller_data(0x44);
}

static void check_mouse(void)
{
    static const u8 knock[] = { 0xF3, 200, 0xF3, 100, 0xF3, 80 };
    set_mode("mouse");
    controller(0xA8);
    check("reset", mouse(0xFF), 0xFA);
    check("and its test", receive(1000000), 0x2AA);
    check("a mouse", receive(100000), 0x200);
    u32 wrong = 0;
    for (u32 i = 0; i < sizeof knock; i++)
        wrong += mouse(knock[i]) != 0xFA;
    check("knocks", wrong, 0);
    check("who is there", mouse(0xF2), 0xFA);
    check("one with a wheel", receive(100000), 0x203);
    check("status", mouse(0xE9), 0xFA);
    check("not reporting, two counts a mm, 80 a second",
          (receive(100000) & 0xFF) << 16 | (receive(100000) & 0xFF) << 8 | (receive(100000) & 0xFF), 0x000250);
    check("reporting", mouse(0xF4), 0xFA);
}

static void put_hex(u32 row, u32 column, u8 value)
{
    char text[3] = { "0123456789ABCDEF"[value >> 4], "0123456789ABCDEF"[value & 15], 0 };
    put_text(row, column, 7, text);
}

/* Lists what keyboard (left) and mouse (right) send, until Escape is released. */
static void list_input(void)
{
    u32 keys = 0, motions = 0, byte;
    set_vga(&mode_3);
    set_colours();
    load_font();
    clear_text();
    put_text(0, 0, 0x0F, "KEYS");
    put_text(0, 40, 0x0F, "MOUSE");
    print("listening\n");
    while ((byte = receive(0)) != (ESC | RELEASED)) {
        u32 *count = byte & 0x200 ? &motions : &keys;
        put_hex(1 + *count / 12 % 24, (byte & 0x200 ? 40 : 0) + *count % 12 * 3, byte);
        ++*count;
    }
}

void main64(void)
{
    uart_init();
    print("Amber display\n");
    idt64_init();
    chipset_init();
    /* What is on standard input arrives within a few ms. */
    delay_us(5000);
    interactive = inb(COM1 + 5) & 1 && inb(COM1) == 'i';
    check_function();
    check_keyboard();
    check_mouse();
    check_text();
    check_planes();
    check_chained();
    check_linear();
    check_retrace();
    if (interactive)
        list_input();
    finish();
}
