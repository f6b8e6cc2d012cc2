/* The entropy-coded data of a JPEG's scan: T.81, annexes F (sequential) and G (progressive). */
#ifndef TINI_JPEG_SCAN_H
#define TINI_JPEG_SCAN_H

#include "jpeg.h"

/* Makes the code of DHT's counts and symbols; 0 where they make none. */
int tini_jpeg_make_code(tini_jpeg_code *code, const uint8_t counts[16], const uint8_t *symbols);

/* Reads the scan whose header has been read, s->at at its data, into blocks or planes. 0: a fault. */
int tini_jpeg_scan(tini_jpeg *s);

#endif
