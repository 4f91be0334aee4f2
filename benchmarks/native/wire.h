/* What the upstream and the load generator share: HTTP/1.1 messages framed by Content-Length, and a job's outcome. */
#ifndef WIRE_H
#define WIRE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* Bytes received and not yet used, or to be sent and not yet taken by the socket. */
struct buffer {
    char *bytes;
    size_t length, capacity;
};

/* A message at the beginning of a buffer. */
struct message {
    char *head; /* NUL-terminated in place: the last line feed of the empty line is overwritten */
    char *body;
    size_t body_length, total;
};

static inline void fail(const char *what) {
    perror(what);
    exit(2);
}

static inline uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* As many files as the hard limit allows. */
static inline void raise_file_limit(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) fail("getrlimit");
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) fail("setrlimit");
}

static inline void reserve(struct buffer *buffer, size_t more) {
    if (buffer->length + more <= buffer->capacity) return;
    size_t capacity = buffer->capacity ? buffer->capacity : 1024;
    while (capacity < buffer->length + more) capacity *= 2;
    if ((buffer->bytes = realloc(buffer->bytes, capacity)) == NULL) fail("realloc");
    buffer->capacity = capacity;
}

static inline void append(struct buffer *buffer, const char *bytes, size_t length) {
    reserve(buffer, length + 1);
    memcpy(buffer->bytes + buffer->length, bytes, length);
    buffer->length += length;
    buffer->bytes[buffer->length] = '\0'; /* whoever parses runs into it */
}

/* Drop the first bytes; an empty buffer keeps no memory, since ten thousand parked connections have one each. */
static inline void consume(struct buffer *buffer, size_t length) {
    buffer->length -= length;
    if (buffer->length > 0) {
        memmove(buffer->bytes, buffer->bytes + length, buffer->length + 1);
        return;
    }
    free(buffer->bytes);
    *buffer = (struct buffer){0};
}

/* Find a whole message. Neither side ever sends chunks here, and whoever does is not understood. */
static inline bool whole_message(struct buffer *buffer, struct message *message) {
    char *end = memmem(buffer->bytes, buffer->length, "\r\n\r\n", 4);
    if (end == NULL) return false;
    end[3] = '\0';
    const char *field = strcasestr(buffer->bytes, "\ncontent-length:");
    size_t length = field ? strtoul(field + 16, NULL, 10) : 0;
    size_t total = (size_t)(end + 4 - buffer->bytes) + length;
    *message = (struct message){buffer->bytes, end + 4, length, total};
    if (total <= buffer->length) return true;
    end[3] = '\n';
    return false;
}

enum { BLOCKS = 12, OUTCOME_SIZE = 512 };

static inline uint64_t fnv1a(uint64_t hash, const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3u;
    return hash;
}

/* Write the outcome of a job that ended at `ended` (nanoseconds, monotonic clock) and return its length.
 *
 * All of it follows from these two numbers, so that whoever reads it can say whether it is whole and its own;
 * benchmarks/outcome.py writes the same. */
static inline size_t outcome_of(uint32_t id, uint64_t ended, char out[OUTCOME_SIZE]) {
    int length = sprintf(out, "{\"id\":\"%010u\",\"ended\":\"%020llu\",\"padding\":\"", id, (unsigned long long)ended);
    uint64_t hash = fnv1a(0xcbf29ce484222325u, out, (size_t)length);
    for (int block = 0; block < BLOCKS; block++) {
        char letter = (char)('a' + block);
        length += sprintf(out + length, "%016llx", (unsigned long long)fnv1a(hash, &letter, 1));
    }
    length += sprintf(out + length, "\"}");
    return (size_t)length;
}

#endif
