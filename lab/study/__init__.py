"""The paper's study as data: rows, profiles, and a runner that trains, attacks and measures a row."""
