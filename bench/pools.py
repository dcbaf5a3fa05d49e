"""pools.py: what the same calls cost Python's own pools of processes. For each line that it reads it does one round of everything, and
prints a JSON object: what → µs for one, as bench/subsystem.c does."""

import concurrent.futures
import json
import multiprocessing
import sys
import time

LARGE = b"x" * (1024 * 1024)


def echo(value):
    return value


def small(number):
    return number, "a text of some words"


def timed(count, work):
    begun = time.perf_counter()
    for number in range(count):
        work(number)
    return (time.perf_counter() - begun) / count * 1e6


def first_result(start):
    """From the start of a pool to its first result; its end is not measured."""
    begun = time.perf_counter()
    pool, call = start()
    call()
    took = (time.perf_counter() - begun) * 1e6
    pool.__exit__(None, None, None)
    return took


def start_pool():
    pool = multiprocessing.Pool(1)
    return pool, lambda: pool.apply(small, (1,))


def start_executor():
    executor = concurrent.futures.ProcessPoolExecutor(1)
    return executor, lambda: executor.submit(small, 1).result()


def main():
    with multiprocessing.Pool(1) as pool, concurrent.futures.ProcessPoolExecutor(1) as executor:
        for _ in sys.stdin:
            figures = {
                "Pool.apply": timed(1000, lambda number: pool.apply(small, (number,))),
                "ProcessPoolExecutor": timed(500, lambda number: executor.submit(small, number).result()),
                "Pool.apply, 1 MiB": timed(20, lambda _: pool.apply(echo, (LARGE,))),
                "ProcessPoolExecutor, 1 MiB": timed(20, lambda _: executor.submit(echo, LARGE).result()),
            }
            begun = time.perf_counter()
            for _ in pool.imap(small, range(3000)):
                pass
            figures["Pool.imap, streaming"] = (time.perf_counter() - begun) / 3000 * 1e6
            begun = time.perf_counter()
            futures = [executor.submit(small, number) for number in range(3000)]
            for future in futures:
                future.result()
            figures["ProcessPoolExecutor, streaming"] = (time.perf_counter() - begun) / 3000 * 1e6
            figures["Pool, cold"] = first_result(start_pool)
            figures["ProcessPoolExecutor, cold"] = first_result(start_executor)
            print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
