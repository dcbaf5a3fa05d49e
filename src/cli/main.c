/* main.c: the `silver` command. */
#include <stdio.h>

int main(void)
{
    puts("silver " SL_VERSION);
    return 0;
}
