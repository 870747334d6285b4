"""The tables and notes of the commands on the terminal."""
