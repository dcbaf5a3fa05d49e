"""Hears of everything that a text has. Run it after make: PYTHONPATH=lib/python python3 example.py"""

from scanning import Scanner


class Teller(Scanner):
    def on_word(self, word, line):
        print(f"{line}: word {word}")
        if word == "mistake":
            raise ValueError(f"a {word} in line {line}")

    def on_number(self, number, line):
        print(f"{line}: number {number:g}")


Teller().scan("Take 2 apples\nand 30 pears")
try:
    Teller().scan("one mistake more")
except ValueError as error:
    print("ended by:", error)
