/* date.c: dates as HTTP writes them.
 *
 * Writing is pure arithmetic on the proleptic Gregorian calendar (no locale, no time zone, no lock). A year
 * is counted from March, so that the leap day is its last and the lengths of the months follow the straight
 * line (153 m + 2) / 5. Reading takes the three forms of RFC 9110 section 5.6.7 and nothing else: a date that
 * is not well-formed, or whose day of the week is wrong, is refused, and then the field that held it counts
 * as absent. */
#include "http/message.h"

#include <stdlib.h>
#include <time.h>

static const char day_names[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char long_day_names[7][10] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                           "Thursday", "Friday", "Saturday"};
static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

#define DAY_S 86400
#define FIRST_S (-62167219200) /* year 0 */
#define LAST_S 253402300799    /* the end of 9999 */

static int64_t days_of_date(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    unsigned year_of_era = (unsigned)(year - era * 400);
    unsigned day_of_year = (153 * (month + (month > 2 ? -3u : 9u)) + 2) / 5 + day - 1;
    unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void date_of_days(int64_t days, unsigned *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    unsigned day_of_era = (unsigned)(days - era * 146097);
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month = (5 * day_of_year + 2) / 153;
    *ret_day = day_of_year - (153 * month + 2) / 5 + 1;
    *ret_month = month < 10 ? month + 3 : month - 9;
    *ret_year = (unsigned)(year_of_era + era * 400 + (*ret_month <= 2));
}

/* 1970-01-01 was a Thursday. */
static unsigned weekday_of_days(int64_t days)
{
    return (unsigned)(((days % 7) + 7 + 4) % 7);
}

static char *put_two(char *out, unsigned number)
{
    out[0] = (char)('0' + number / 10);
    out[1] = (char)('0' + number % 10);
    return out + 2;
}

void sl__http_date(int64_t seconds, char out[static 30])
{
    seconds = seconds < FIRST_S ? FIRST_S : seconds > LAST_S ? LAST_S : seconds;
    int64_t days = seconds / DAY_S, rest = seconds % DAY_S;
    if (rest < 0) {
        rest += DAY_S;
        days--;
    }
    unsigned year, month, day, second = (unsigned)rest;
    date_of_days(days, &year, &month, &day);
    memcpy(out, day_names[weekday_of_days(days)], 3);
    memcpy(out + 3, ", ", 2);
    put_two(out + 5, day);
    out[7] = ' ';
    memcpy(out + 8, month_names[month - 1], 3);
    out[11] = ' ';
    put_two(out + 12, year / 100);
    put_two(out + 14, year % 100);
    out[16] = ' ';
    put_two(out + 17, second / 3600);
    out[19] = ':';
    put_two(out + 20, second / 60 % 60);
    out[22] = ':';
    put_two(out + 23, second % 60);
    memcpy(out + 25, " GMT", 5);
}

/* ---- Reading ----------------------------------------------------------------------------------------- */

/* What is left of the text; `failed` sticks. */
struct reader {
    const char *at, *end;
    bool failed;
};

static void expect(struct reader *in, const char *literal)
{
    size_t size = strlen(literal);
    if (in->failed || (size_t)(in->end - in->at) < size || memcmp(in->at, literal, size) != 0)
        in->failed = true;
    else
        in->at += size;
}

static unsigned number(struct reader *in, unsigned digits)
{
    unsigned value = 0;
    for (unsigned i = 0; i < digits; i++) {
        if (in->failed || in->at == in->end || *in->at < '0' || *in->at > '9') {
            in->failed = true;
            return 0;
        }
        value = value * 10 + (unsigned)(*in->at++ - '0');
    }
    return value;
}

/* One of `count` names that stand `stride` bytes apart: its index. */
static unsigned name(struct reader *in, const char *names, size_t stride, unsigned count)
{
    for (unsigned i = 0; i < count && !in->failed; i++) {
        size_t size = strlen(names + i * stride);
        if ((size_t)(in->end - in->at) >= size && memcmp(in->at, names + i * stride, size) == 0) {
            in->at += size;
            return i;
        }
    }
    in->failed = true;
    return 0;
}

static unsigned time_of_day(struct reader *in)
{
    unsigned hour = number(in, 2);
    expect(in, ":");
    unsigned minute = number(in, 2);
    expect(in, ":");
    unsigned second = number(in, 2);
    if (hour > 23 || minute > 59 || second > 60) /* 60: a leap second */
        in->failed = true;
    return hour * 3600 + minute * 60 + second;
}

/* RFC 850 wrote years with two digits: one that seems more than 50 years ahead is in the past. */
static unsigned full_year(unsigned two_digits)
{
    unsigned year, month, day;
    date_of_days(sl_wall_ms() / 1000 / DAY_S, &year, &month, &day);
    unsigned full = year / 100 * 100 + two_digits;
    return full > year + 50 ? full - 100 : full;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
    if (month == 2)
        return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28;
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

int sl__http_date_parse(sl_view text, int64_t *ret_seconds)
{
    struct reader in = {text.data, text.data + text.size, text.size < 24};
    unsigned year, month, day, second;
    const char *comma = in.failed ? NULL : memchr(text.data, ',', text.size);
    unsigned weekday = comma && comma - text.data > 3
                           ? name(&in, long_day_names[0], sizeof(long_day_names[0]), 7)
                           : name(&in, day_names[0], sizeof(day_names[0]), 7);
    if (comma) { /* Sun, 06 Nov 1994 08:49:37 GMT, or Sunday, 06-Nov-94 08:49:37 GMT */
        bool old = comma - text.data > 3;
        expect(&in, ", ");
        day = number(&in, 2);
        expect(&in, old ? "-" : " ");
        month = name(&in, month_names[0], sizeof(month_names[0]), 12) + 1;
        expect(&in, old ? "-" : " ");
        year = old ? full_year(number(&in, 2)) : number(&in, 4);
        expect(&in, " ");
        second = time_of_day(&in);
        expect(&in, " GMT");
    } else { /* Sun Nov  6 08:49:37 1994 */
        expect(&in, " ");
        month = name(&in, month_names[0], sizeof(month_names[0]), 12) + 1;
        expect(&in, " ");
        if (!in.failed && in.at < in.end && *in.at == ' ') {
            in.at++;
            day = number(&in, 1);
        } else {
            day = number(&in, 2);
            in.failed |= day < 10;
        }
        expect(&in, " ");
        second = time_of_day(&in);
        expect(&in, " ");
        year = number(&in, 4);
    }
    if (in.failed || in.at != in.end || day < 1 || day > days_in_month(year, month))
        return SL_EPARSE;
    int64_t days = days_of_date(year, month, day);
    if (weekday_of_days(days) != weekday)
        return SL_EPARSE;
    *ret_seconds = days * DAY_S + second;
    return 0;
}
