"""pools.py: what the same calls cost Python's own pools of processes. For each line that it reads it does one round of everything, and
prints a JSON object: what → µs for one, and µs of processor time for one, as bench/subsystem.c does."""

import collections
import concurrent.futures
import json
import multiprocessing
import os
import sys
import time

LARGE = b"x" * (1024 * 1024)


def echo(value):
    return value


def small(number):
    return number, "a text of some words"


def processor():
    """Seconds of processor time of this process and of its children, those that run included."""
    total = 0
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as children:
        for pid in [os.getpid(), *children.read().split()]:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as stat:
                    total += int(stat.read().split()[0]) / 1e9
    return total


def whole(count, work):
    used, begun = processor(), time.perf_counter()
    work()
    took = time.perf_counter() - begun
    return [took / count * 1e6, (processor() - used) / count * 1e6]


def timed(count, work):
    def loop():
        for number in range(count):
            work(number)
    return whole(count, loop)


def first_result(start):
    """From the start of a pool to its first result; its end is not measured."""
    begun = time.perf_counter()
    pool, call = start()
    call()
    took = (time.perf_counter() - begun) * 1e6
    pool.__exit__(None, None, None)
    return [took, 0]


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
            figures["Pool.imap, streaming"] = whole(3000, lambda: collections.deque(pool.imap(small, range(3000)), 0))
            figures["ProcessPoolExecutor, streaming"] = whole(3000, lambda: concurrent.futures.wait(
                [executor.submit(small, number) for number in range(3000)]))
            figures["Pool, cold"] = first_result(start_pool)
            figures["ProcessPoolExecutor, cold"] = first_result(start_executor)
            print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
