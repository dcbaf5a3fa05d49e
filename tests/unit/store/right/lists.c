/* The longest lists that are promised. */
#include "../refused/models.h"

#define TEN(x) x, x, x, x, x, x, x, x, x, x
#define EIGHTY(x) TEN(x), TEN(x), TEN(x), TEN(x), TEN(x), TEN(x), TEN(x), TEN(x)

void right(void);
void right(void)
{
    sl_delete(sl_find(person, sl_in(person_.age, EIGHTY(1)), sl_in(person_.name, EIGHTY("x"))));
}
