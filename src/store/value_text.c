/* value_text.c: dates, times, decimals and UUIDs as text, and from it.
 *
 * Reading is strict: what is not exactly of the form, is no day of the Gregorian calendar, or does not fit,
 * is refused with SL_EPARSE, and nothing is guessed or rounded (but that a time keeps microseconds: further
 * digits are cut off). Writing never overruns the buffer, whatever stands in the value: what is outside the
 * years 1 to 9999 is written with the year 0000, which no reader takes. */
#include <silver/model.h>

#define DAY_US (86400 * INT64_C(1000000))
#define FIRST_US (-62135596800 * INT64_C(1000000)) /* the beginning of the year 1 */
#define END_US (253402300800 * INT64_C(1000000))   /* the end of the year 9999 */
#define SCALE_MAX 18

/* ---- Digits ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Takes exactly `count` digits. */
static bool take_number(const char **at, unsigned count, unsigned *ret_number)
{
    unsigned number = 0;
    for (unsigned i = 0; i < count; i++) {
        if (!is_digit((*at)[i]))
            return false;
        number = number * 10 + (unsigned)((*at)[i] - '0');
    }
    *at += count;
    *ret_number = number;
    return true;
}

static bool take(const char **at, char wanted)
{
    if (**at != wanted)
        return false;
    (*at)++;
    return true;
}

static char *put_number(char *out, unsigned number, unsigned count)
{
    for (unsigned i = count; i-- > 0; number /= 10)
        out[i] = (char)('0' + number % 10);
    return out + count;
}

/* ---- Dates ---- */

static unsigned days_in_month(unsigned year, unsigned month)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

static bool is_date(sl_date date)
{
    return date.year >= 1 && date.year <= 9999 && date.month >= 1 && date.month <= 12 && date.day >= 1 &&
           date.day <= days_in_month((unsigned)date.year, date.month);
}

/* Days since 1970. A year is counted from March, so that the leap day is its last and the months' lengths
 * follow the straight line (153 m + 2) / 5. */
static int64_t days_of_date(sl_date date)
{
    unsigned year = (unsigned)date.year - (date.month <= 2);
    unsigned month = date.month > 2 ? date.month - 3u : date.month + 9u;
    unsigned day_of_year = (153 * month + 2) / 5 + date.day - 1;
    return (int64_t)year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719468;
}

/* For days from the year 1 to the year 9999. */
static sl_date date_of_days(int64_t days_since_1970)
{
    unsigned days = (unsigned)(days_since_1970 + 719468); /* since March of the year 0 */
    unsigned era = days / 146097, day_of_era = days % 146097;
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned from_march = (5 * day_of_year + 2) / 153;
    unsigned month = from_march < 10 ? from_march + 3 : from_march - 9;
    return (sl_date){.year = (int16_t)(year_of_era + era * 400 + (month <= 2)),
                     .month = (uint8_t)month,
                     .day = (uint8_t)(day_of_year - (153 * from_march + 2) / 5 + 1)};
}

static bool take_date(const char **at, sl_date *ret_date)
{
    unsigned year, month, day;
    if (!take_number(at, 4, &year) || !take(at, '-') || !take_number(at, 2, &month) || !take(at, '-') ||
        !take_number(at, 2, &day))
        return false;
    *ret_date = (sl_date){.year = (int16_t)year, .month = (uint8_t)month, .day = (uint8_t)day};
    return is_date(*ret_date);
}

int sl_date_parse(const char *text, sl_date *ret_date)
{
    sl_date date;
    if (!take_date(&text, &date) || *text)
        return SL_EPARSE;
    *ret_date = date;
    return 0;
}

static char *put_date(char *out, sl_date date)
{
    out = put_number(out, (unsigned)date.year, 4);
    *out++ = '-';
    out = put_number(out, date.month, 2);
    *out++ = '-';
    return put_number(out, date.day, 2);
}

char *sl_date_text(sl_date date, char out[static SL_DATE_SIZE])
{
    *put_date(out, is_date(date) ? date : (sl_date){0}) = '\0';
    return out;
}

/* ---- Times ---- */

/* What follows the seconds: ".5". Microseconds are kept. */
static bool take_fraction(const char **at, int64_t *us)
{
    if (!take(at, '.'))
        return true;
    if (!is_digit(**at))
        return false;
    for (int64_t worth = 100000; is_digit(**at); (*at)++, worth /= 10)
        *us += (**at - '0') * worth;
    return true;
}

/* "Z", "+02:00" or "+02" (as PostgreSQL writes it): what is to be taken off. */
static bool take_offset(const char **at, int64_t *ret_us)
{
    *ret_us = 0;
    if (take(at, 'Z'))
        return true;
    bool west = **at == '-';
    unsigned hours, minutes = 0;
    if (!take(at, west ? '-' : '+') || !take_number(at, 2, &hours) || hours > 23)
        return false;
    if (take(at, ':') && (!take_number(at, 2, &minutes) || minutes > 59))
        return false;
    *ret_us = (west ? -1 : 1) * (int64_t)(hours * 3600 + minutes * 60) * 1000000;
    return true;
}

int sl_time_parse(const char *text, int64_t *ret_us)
{
    sl_date date;
    unsigned hour, minute, second;
    int64_t offset;
    if (!take_date(&text, &date) || !(take(&text, 'T') || take(&text, ' ')) ||
        !take_number(&text, 2, &hour) || !take(&text, ':') || !take_number(&text, 2, &minute) ||
        !take(&text, ':') || !take_number(&text, 2, &second) || hour > 23 || minute > 59 || second > 59)
        return SL_EPARSE;
    int64_t us = days_of_date(date) * DAY_US +
                 ((int64_t)hour * 3600 + (int64_t)minute * 60 + second) * INT64_C(1000000);
    if (!take_fraction(&text, &us) || !take_offset(&text, &offset) || *text)
        return SL_EPARSE;
    us -= offset;
    if (us < FIRST_US || us >= END_US)
        return SL_EPARSE;
    *ret_us = us;
    return 0;
}

char *sl_time_text(int64_t us, char out[static SL_TIME_SIZE])
{
    bool said = us >= FIRST_US && us < END_US;
    uint64_t since = said ? (uint64_t)(us - FIRST_US) : 0;
    unsigned rest = (unsigned)(since % DAY_US / 1000000), fraction = (unsigned)(since % 1000000);
    sl_date date = said ? date_of_days((int64_t)(since / DAY_US) + FIRST_US / DAY_US) : (sl_date){0};
    char *at = put_date(out, date);
    *at++ = 'T';
    at = put_number(at, rest / 3600, 2);
    *at++ = ':';
    at = put_number(at, rest / 60 % 60, 2);
    *at++ = ':';
    at = put_number(at, rest % 60, 2);
    *at++ = '.';
    at = put_number(at, fraction, 6);
    memcpy(at, "Z", 2);
    return out;
}

/* ---- Decimals ---- */

/* The digits go into a magnitude of 64 bits, so that INT64_MIN, which has no positive, can be read. */
int sl_decimal_parse(const char *text, sl_decimal *ret_decimal)
{
    bool negative = take(&text, '-');
    uint64_t magnitude = 0;
    int32_t scale = -1; /* no point yet */
    if (!is_digit(*text))
        return SL_EPARSE;
    for (; *text; text++) {
        if (*text == '.' && scale < 0 && is_digit(text[1])) {
            scale = 0;
            continue;
        }
        if (!is_digit(*text) || scale == SCALE_MAX || __builtin_mul_overflow(magnitude, 10, &magnitude) ||
            __builtin_add_overflow(magnitude, (uint64_t)(*text - '0'), &magnitude))
            return SL_EPARSE;
        if (scale >= 0)
            scale++;
    }
    if (magnitude > (uint64_t)INT64_MAX + negative)
        return SL_EPARSE;
    *ret_decimal = (sl_decimal){.units = (int64_t)(negative ? 0 - magnitude : magnitude),
                                .scale = scale < 0 ? 0 : scale};
    return 0;
}

char *sl_decimal_text(sl_decimal decimal, char out[static SL_DECIMAL_SIZE])
{
    int32_t scale = decimal.scale < 0 ? 0 : decimal.scale > SCALE_MAX ? SCALE_MAX : decimal.scale;
    uint64_t magnitude = decimal.units < 0 ? 0 - (uint64_t)decimal.units : (uint64_t)decimal.units;
    char digits[20]; /* backwards, with a 0 before the point at least */
    int count = 0;
    for (; magnitude || count <= scale; magnitude /= 10)
        digits[count++] = (char)('0' + magnitude % 10);
    char *at = out;
    if (decimal.units < 0)
        *at++ = '-';
    while (count > 0) {
        if (count == scale)
            *at++ = '.';
        *at++ = digits[--count];
    }
    *at = '\0';
    return out;
}

int sl_decimal_rescale(sl_decimal decimal, int scale, sl_decimal *ret_decimal)
{
    if (scale < 0 || scale > SCALE_MAX || decimal.scale < 0 || decimal.scale > SCALE_MAX)
        return SL_EINVAL;
    for (; decimal.scale < scale; decimal.scale++)
        if (__builtin_mul_overflow(decimal.units, 10, &decimal.units))
            return SL_EINVAL;
    for (; decimal.scale > scale; decimal.scale--) {
        if (decimal.units % 10)
            return SL_EINVAL;
        decimal.units /= 10;
    }
    *ret_decimal = decimal;
    return 0;
}

/* ---- UUIDs ---- */

/* After which bytes a hyphen stands. */
static bool hyphen_after(unsigned bytes)
{
    return bytes == 4 || bytes == 6 || bytes == 8 || bytes == 10;
}

static int hex_digit(char c)
{
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int sl_uuid_parse(const char *text, sl_uuid *ret_uuid)
{
    sl_uuid uuid;
    for (unsigned i = 0; i < 16; i++) {
        if (hyphen_after(i) && !take(&text, '-'))
            return SL_EPARSE;
        int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);
        if (low < 0)
            return SL_EPARSE;
        uuid.bytes[i] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    if (*text)
        return SL_EPARSE;
    *ret_uuid = uuid;
    return 0;
}

char *sl_uuid_text(sl_uuid uuid, char out[static SL_UUID_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    char *at = out;
    for (unsigned i = 0; i < 16; i++) {
        if (hyphen_after(i))
            *at++ = '-';
        *at++ = digits[uuid.bytes[i] >> 4];
        *at++ = digits[uuid.bytes[i] & 15];
    }
    *at = '\0';
    return out;
}
