"""silver run DIR restock TITLE COUNT: puts books on the shelves."""

import sys

import shop
import silver


def restock(title, count):
    silver.database().executescript(shop.TABLES)
    shop.put(title, count)
    shop.write_down(f"{count} more of {title}")


silver.transact(restock, sys.argv[1], int(sys.argv[2]), retries=3)
