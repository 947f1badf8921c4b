// Feeds csv_scanner.c with fragments of CSV in chunks of any size, and with room for 0 to 3 ids:
//   cc -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all tests/fuzz/csv_scanner.c -o fuzz && ./fuzz
// Each chunk is an allocation of its own, so that a read beyond its end is found. tests/unit/results checks what is counted.
#include "../../layers/crm_export/crm_export/results/csv_scanner.c"
#include <stdio.h>
#include <stdlib.h>

static const char *FRAGMENTS[] = {"\"", ",", "\n", "\r", "1", "29", "x", "\"\"", "\",\"", "\n1,", "\n\"2\",",
                                  "999999999999999999999", "\xff"};
enum { KINDS = sizeof FRAGMENTS / sizeof *FRAGMENTS, FILES = 400000, MOST_CHUNKS = 8, MOST_FRAGMENTS = 12 };

static void feed_chunk(struct scanner *s)
{
    char text[MOST_FRAGMENTS * 32];
    size_t size = 0;
    for (int left = rand() % MOST_FRAGMENTS; left > 0; left--) {
        const char *fragment = FRAGMENTS[rand() % KINDS];
        memcpy(text + size, fragment, strlen(fragment));
        size += strlen(fragment);
    }
    char *chunk = malloc(size ? size : 1);
    memcpy(chunk, text, size);
    scan(s, chunk, size);
    free(chunk);
}

int main(void)
{
    uint64_t lines = 0;
    for (unsigned file = 1; file <= FILES; file++) {
        srand(file);
        struct scanner s = {.max_ids = rand() % 4, .column = rand() % 4 == 3 ? UINT32_MAX : (uint32_t)(rand() % 3)};
        s.ids = s.max_ids ? malloc(s.max_ids * sizeof *s.ids) : NULL;
        for (int left = rand() % MOST_CHUNKS; left > 0; left--)
            feed_chunk(&s);
        lines += s.lines;
        free(s.ids);
    }
    printf("%llu lines\n", (unsigned long long)lines);
    return 0;
}
