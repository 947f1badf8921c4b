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
};

static const char *find(char byte, const char *from, const char *end)
{
    const char *found = memchr(from, byte, end - from);
    return found ? found : end;
}

static void begin_line(struct scanner *s)
{
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

static void end_line(struct scanner *s)
{
    if (is_before_id_ends(s)) {
        end_cell(s);
        if (is_before_id_ends(s))
            s->unreadable = 1;  // the line has too few cells
    }
    s->state = LINE_START;
}

// Reads one byte of a cell up to and including that of the id.
static void read_byte(struct scanner *s, char byte)
{
    if (s->state == IN_QUOTES) {
        if (byte == '"')
            s->state = AFTER_QUOTE;
        else
            add_to_id(s, byte);
    } else if (byte == ',') {
        end_cell(s);
        s->state = CELL_START;
    } else if (byte == '\n' || byte == '\r') {
        end_line(s);
    } else if (byte == '"' && s->state != IN_CELL) {
        if (s->state == AFTER_QUOTE)
            add_to_id(s, byte);  // two quotes stand for one
        s->state = IN_QUOTES;
    } else {
        add_to_id(s, byte);
        s->state = IN_CELL;
    }
}

// Counts the lines of a chunk. Most bytes are only passed by memchr.
void scan(struct scanner *s, const char *chunk, size_t size)
{
    const char *at = chunk, *end = chunk + size;
    const char *quote = chunk - 1, *cr = chunk - 1;  // the next ones, unless they are before `at`
    while (at < end) {
        if (s->state == LINE_START) {
            if (*at == '\n' || *at == '\r') {
                at++;
                continue;
            }
            begin_line(s);
            s->state = CELL_START;
        }
        while (at < end && s->state != LINE_START && is_before_id_ends(s))
            read_byte(s, *at++);
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
            end_line(s);
            continue;
        }
        if (stop > at)
            s->state = stop[-1] == ',' ? CELL_START : IN_CELL;
        at = stop;
        if (at < end && s->state == IN_CELL)
            at++;  // a quote within a cell is an ordinary byte
    }
}
