/* Letters and digits of 5 by 7 dots, a row in each byte from the top, for a text mode without firmware. */
#ifndef FONT_H
#define FONT_H
#include "vga.h"

static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-:.#";
static const u8 shapes[][7] = {
    { 14, 17, 19, 21, 25, 17, 14 }, { 4, 12, 4, 4, 4, 4, 14 }, { 14, 17, 1, 6, 8, 16, 31 }, { 31, 2, 4, 2, 1, 17, 14 },
    { 2, 6, 10, 18, 31, 2, 2 }, { 31, 16, 30, 1, 1, 17, 14 }, { 6, 8, 16, 30, 17, 17, 14 }, { 31, 1, 2, 4, 8, 8, 8 },
    { 14, 17, 17, 14, 17, 17, 14 }, { 14, 17, 17, 15, 1, 2, 12 }, { 14, 17, 17, 31, 17, 17, 17 },
    { 30, 17, 17, 30, 17, 17, 30 }, { 14, 17, 16, 16, 16, 17, 14 }, { 28, 18, 17, 17, 17, 18, 28 },
    { 31, 16, 16, 30, 16, 16, 31 }, { 31, 16, 16, 30, 16, 16, 16 }, { 14, 17, 16, 23, 17, 17, 15 },
    { 17, 17, 17, 31, 17, 17, 17 }, { 14, 4, 4, 4, 4, 4, 14 }, { 7, 2, 2, 2, 2, 18, 12 }, { 17, 18, 20, 24, 20, 18, 17 },
    { 16, 16, 16, 16, 16, 16, 31 }, { 17, 27, 21, 21, 17, 17, 17 }, { 17, 25, 21, 19, 17, 17, 17 },
    { 14, 17, 17, 17, 17, 17, 14 }, { 30, 17, 17, 30, 16, 16, 16 }, { 14, 17, 17, 17, 21, 18, 13 },
    { 30, 17, 17, 30, 20, 18, 17 }, { 15, 16, 16, 14, 1, 1, 30 }, { 31, 4, 4, 4, 4, 4, 4 }, { 17, 17, 17, 17, 17, 17, 14 },
    { 17, 17, 17, 17, 17, 10, 4 }, { 17, 17, 17, 21, 21, 27, 17 }, { 17, 17, 10, 4, 10, 17, 17 },
    { 17, 17, 17, 10, 4, 4, 4 }, { 31, 1, 2, 4, 8, 16, 31 }, { 0, 0, 0, 14, 0, 0, 0 }, { 0, 4, 0, 0, 0, 4, 0 },
    { 0, 0, 0, 0, 0, 12, 12 }, { 10, 31, 10, 10, 10, 31, 10 },
};

/* Loads the glyphs into plane 2, as firmware does: planar, at A0000h. */
static void load_font(void)
{
    sequencer(2, 4);
    sequencer(4, 6);
    graphics(5, 0);
    graphics(6, 4);
    for (u32 i = 0; i < 256 * 32; i++)
        A0000[i] = 0;
    for (u32 n = 0; letters[n]; n++)
        for (u32 row = 0; row < 7; row++)
            A0000[(u8)letters[n] * 32 + 4 + row] = shapes[n][row] << 1;
    sequencer(2, mode_3.sequencer[2]);
    sequencer(4, mode_3.sequencer[4]);
    graphics(5, mode_3.graphics[5]);
    graphics(6, mode_3.graphics[6]);
}

static void put_text(u32 row, u32 column, u8 attribute, const char *text)
{
    for (volatile u8 *at = B8000 + row * 160 + column * 2; *text; text++, at += 2) {
        at[0] = *text;
        at[1] = attribute;
    }
}

static void clear_text(void)
{
    for (u32 i = 0; i < 4000; i += 2) {
        B8000[i] = ' ';
        B8000[i + 1] = 7;
    }
}

#endif
