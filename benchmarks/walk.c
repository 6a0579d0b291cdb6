/* SPDX-License-Identifier: Apache-2.0
 * Steps over the records of a pcap file of this machine's byte order with read(1 MiB): the least that reading can cost.
 * Touches a byte of each packet. Prints JSON. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 1 << 20, FILE_HEADER = 24, RECORD = 16 };

int main(int argc, char **argv) {
    const int file = argc == 2 ? open(argv[1], O_RDONLY) : -1;
    unsigned char *buffer = malloc(2 * ROOM);
    uint32_t word;
    if (file < 0 || !buffer || read(file, buffer, FILE_HEADER) != FILE_HEADER ||
        (memcpy(&word, buffer, 4), word != 0xa1b2c3d4 && word != 0xa1b23c4d)) {
        fprintf(stderr, "walk: usage: walk CAPTURE, of pcap in this machine's byte order\n");
        return 1;
    }
    unsigned long packets = 0, bytes = 0;
    size_t begin = 0, end = 0;
    struct timespec before, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    for (;;) {
        memmove(buffer, buffer + begin, end - begin);
        end -= begin;
        begin = 0;
        const ssize_t got = read(file, buffer + end, ROOM);
        if (got <= 0) break;
        end += (size_t)got;
        while (end - begin >= RECORD) {
            uint32_t captured, length;
            memcpy(&captured, buffer + begin + 8, 4);
            memcpy(&length, buffer + begin + 12, 4);
            if (captured > ROOM / 2 || end - begin - RECORD < captured) break;
            packets++;
            bytes += length + buffer[begin + RECORD];
            begin += RECORD + captured;
        }
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    printf("{\"packets\": %lu, \"flows\": null, \"cpu\": %.6f}\n", packets,
           (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9);
    return bytes == 0;
}
