/* SPDX-License-Identifier: Apache-2.0
 * The bare libpcap loop: what reading a capture costs before anybody looks at a packet. Prints JSON. */
#include <pcap/pcap.h>
#include <stdio.h>
#include <time.h>

static unsigned long packets, bytes;

static void count(u_char *user, const struct pcap_pkthdr *header, const u_char *data) {
    (void)user;
    packets++;
    bytes += header->len + data[0];
}

int main(int argc, char **argv) {
    char error[PCAP_ERRBUF_SIZE];
    pcap_t *capture = argc == 2 ? pcap_open_offline(argv[1], error) : NULL;
    if (!capture) {
        fprintf(stderr, "loop: %s\n", argc == 2 ? error : "usage: loop CAPTURE");
        return 1;
    }
    struct timespec before, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    pcap_dispatch(capture, -1, count, NULL);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    printf("{\"packets\": %lu, \"flows\": null, \"cpu\": %.6f}\n", packets,
           (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9);
    pcap_close(capture);
    return bytes == 0;
}
