/* Work with objects that must compile without a word. */
#include "../refused/models.h"

/* Models that refer to each other, and to themselves. */
SL_MODEL_DECLARE(page);
#define BOOK(F) F(id, integer, SL_PRIMARY_KEY) F(cover, refers(page)) F(sequel, refers(book))
SL_MODEL_DECLARE(book);
SL_MODEL(book, BOOK);
#define PAGE(F) F(id, uuid, SL_PRIMARY_KEY) F(book, refers(book)) F(next, refers_uuid(page)) F(text, text)
SL_MODEL(page, PAGE);

static const struct person *hired(const struct company *c, const char *name)
{
    char buffer[8] = "x";
    const struct person *p = sl_add(
        sl_new(person, .name = name, .age = 41, .shade = RED, .born = {2026, 11, 29}, .employer = c->id));
    struct person *edited = sl_edit(person, p);
    edited->age = 42;
    sl_set(edited, age, 0);
    sl_set(edited, age, (int64_t)5);
    sl_set(edited, score, 1);
    sl_set(edited, score, 1.5f);
    sl_set(edited, name, "x");
    sl_set(edited, name, name);
    sl_set(edited, name, buffer);
    sl_set(edited, active, true);
    sl_set(edited, shade, GREEN);
    sl_set(edited, shade, p->shade);
    sl_set(edited, born, p->born);
    sl_set(edited, pay, ((sl_decimal){5, 0}));
    sl_set(edited, token, p->token);
    sl_set(edited, photo, SL_VIEW("x"));
    sl_set(edited, data, p->data);
    sl_set(edited, employer, c->id);
    sl_set_null(edited, born);
    sl_set_expression(person, edited, age, sl_plus(person_.age, 1));
    sl_link(person, edited, employer, c);
    sl_link(person, edited, employer, NULL);
    return edited;
}

void right(const struct company *c);
void right(const struct company *c)
{
    const struct person *p = hired(c, "Ann");
    const struct company *employer = sl_follow(person, p, employer);
    struct person_found *staff = sl_referring(person, employer, employer);
    struct person_found *members = sl_linked(person, membership, member, club, c);
    struct company *new_one = sl_new(company, .name = "x");
    sl_link(person, sl_edit(person, p), employer, new_one);
    sl_view photo = sl_lazy(person, p, photo);
    const struct book *sequel = sl_follow(book, sl_need(book, 5), sequel);
    const struct page *cover = sl_follow(book, sequel, cover), *next = sl_follow(page, cover, next);
    sl_link(page, sl_edit(page, next), book, sequel);
    (void)sl_load(membership, p->id, c->id);
    (void)sl_load(page, next->id);
    if (!sl_add_unless(sl_new(company, .name = "y"), company_.name) || photo.size ||
        sl_count(sl_union(staff, members)))
        sl_put(sl_new(company, .name = "z"), company_.id, company_.name);
    sl_remove(p);
}
