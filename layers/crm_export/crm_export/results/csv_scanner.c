// Counts the records of a CSV and collects their ids, as csv.reader reads it: results/csv_scanner.py describes it.
// A chunk may end anywhere: all that a later chunk needs to know is in struct scanner. Nothing is allocated here.
#include <stdint.h>
#include <string.h>

enum state { LINE_START, CELL_START, IN_CELL, IN_QUOTES, AFTER_QUOTE };

// results/csv_scanner.py declares the same fields.
struct scanner {
    uint64_t lines;     // that have begun and are not blank
    uint64_t ids_found;
    uint64_t id;        // the digits so far of the id that is being read
    uint64_t *ids;
    uint64_t max_ids;
    uint32_t column;    // of the ids, from 0; UINT32_MAX: there are none
    uint32_t cell;      // the column that is being read, as long as it is not behind that of the ids
    uint32_t digits;    // of the id that is being read
    uint32_t state;
    uint32_t unreadable; // an id is missing or not a number from 1 with at most 19 digits, or there are too many
    uint64_t *hashes;    // of the records' raw bytes, as results/record_index.py describes them; NULL: not wanted
    uint64_t hashes_found;
    const char *record;  // the first byte of this chunk that belongs to the record and is not hashed
    uint64_t hash;       // of the record so far: of whole words
    uint64_t length;     // of what is in `hash` and `word`
    uint8_t word[8];     // the bytes after that, of which there are length % 8
};

static const uint64_t FACTOR = 0x9e3779b97f4a7c15u, FINAL_FACTOR = 0xff51afd7ed558ccdu;

static uint64_t with_word(uint64_t hash, const void *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, 8);
    hash = (hash ^ word) * FACTOR;
    return hash ^ hash >> 32;
}

static void hash_bytes(struct scanner *s, const char *from, const char *end)
{
    size_t filled = s->length % 8, size = end - from;
    s->length += size;
    if (filled) {
        size_t room = size < 8 - filled ? size : 8 - filled;
        memcpy(s->word + filled, from, room);
        from += room;
        if (filled + room < 8)
            return;
        s->hash = with_word(s->hash, s->word);
    }
    for (; end - from >= 8; from += 8)
        s->hash = with_word(s->hash, from);
    memcpy(s->word, from, end - from);
}

static void end_hash(struct scanner *s, const char *end)
{
    hash_bytes(s, s->record, end);
    size_t filled = s->length % 8;
    if (filled) {
        memset(s->word + filled, 0, 8 - filled);
        s->hash = with_word(s->hash, s->word);
    }
    uint64_t hash = (s->hash ^ s->length) * FINAL_FACTOR;
    if (s->hashes_found < s->max_ids)
        s->hashes[s->hashes_found++] = hash ^ hash >> 33;
}

static const char *find(char byte, const char *from, const char *end)
{
    const char *found = memchr(from, byte, end - from);
    return found ? found : end;
}

static void begin_line(struct scanner *s, const char *at)
{
    s->record = at;
    s->hash = s->length = 0;
    s->lines++;
    s->cell = s->column == UINT32_MAX ? 1 : 0;
    s->id = s->digits = 0;
}

static int is_before_id_ends(const struct scanner *s)
{
    return s->column != UINT32_MAX && s->cell <= s->column;
}

static void add_to_id(struct scanner *s, char byte)
{
    if (s->cell != s->column)
        return;
    if (byte < '0' || byte > '9' || s->digits == 19 || (byte == '0' && !s->digits)) {
        s->unreadable = 1;
        return;
    }
    s->id = s->id * 10 + (uint64_t)(byte - '0');
    s->digits++;
}

static void end_cell(struct scanner *s)
{
    if (s->cell == s->column) {
        if (!s->digits || s->ids_found == s->max_ids)
            s->unreadable = 1;
        else
            s->ids[s->ids_found++] = s->id;
    }
    s->cell++;
}

static void end_line(struct scanner *s, const char *newline)
{
    if (s->hashes)
        end_hash(s, newline);
    if (is_before_id_ends(s)) {
        end_cell(s);
        if (is_before_id_ends(s))
            s->unreadable = 1;  // the line has too few cells
    }
    s->state = LINE_START;
}

// Reads one byte of a cell up to and including that of the id.
static void read_byte(struct scanner *s, const char *at)
{
    char byte = *at;
    if (s->state == IN_QUOTES) {
        if (byte == '"')
            s->state = AFTER_QUOTE;
        else
            add_to_id(s, byte);
    } else if (byte == ',') {
        end_cell(s);
        s->state = CELL_START;
    } else if (byte == '\n' || byte == '\r') {
        end_line(s, at);
    } else if (byte == '"' && s->state != IN_CELL) {
        if (s->state == AFTER_QUOTE)
            add_to_id(s, byte);  // two quotes stand for one
        s->state = IN_QUOTES;
    } else {
        add_to_id(s, byte);
        s->state = IN_CELL;
    }
}

// Most bytes are only passed by memchr.
static void read_lines(struct scanner *s, const char *chunk, const char *end)
{
    const char *at = chunk;
    const char *quote = chunk - 1, *cr = chunk - 1;  // the next ones, unless they are before `at`
    while (at < end) {
        if (s->state == LINE_START) {
            if (*at == '\n' || *at == '\r') {
                at++;
                continue;
            }
            begin_line(s, at);
            s->state = CELL_START;
        }
        while (at < end && s->state != LINE_START && is_before_id_ends(s))
            read_byte(s, at++);
        if (at == end || s->state == LINE_START)
            continue;
        if (s->state == IN_QUOTES) {
            at = find('"', at, end);
            if (at == end)
                return;
            at++;
            s->state = AFTER_QUOTE;
            if (end - at >= 2 && at[0] == ',' && at[1] == '"') {
                at += 2;
                s->state = IN_QUOTES;
            }
            continue;
        }
        if (*at == '"' && s->state != IN_CELL) {
            at++;
            s->state = IN_QUOTES;
            continue;
        }
        if (quote < at)
            quote = find('"', at, end);
        if (cr < at)
            cr = find('\r', at, end);
        const char *stop = quote < cr ? quote : cr;
        const char *newline = find('\n', at, stop);
        if (newline < stop || (newline == cr && cr < end)) {
            at = newline + 1;
            end_line(s, newline);
            continue;
        }
        if (stop > at)
            s->state = stop[-1] == ',' ? CELL_START : IN_CELL;
        at = stop;
        if (at < end && s->state == IN_CELL)
            at++;  // a quote within a cell is an ordinary byte
    }
}

// Counts the lines of a chunk.
void scan(struct scanner *s, const char *chunk, size_t size)
{
    const char *end = chunk + size;
    s->record = chunk;
    read_lines(s, chunk, end);
    if (s->hashes && s->state != LINE_START)
        hash_bytes(s, s->record, end);
}
