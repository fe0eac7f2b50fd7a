#!/usr/bin/env python3
"""Turns the USGS GeoJSON feed of earthquakes into NDJSON, one feature a line.

Usage:
    npm pack vega-datasets@3.2.1
    tar xzf vega-datasets-3.2.1.tgz package/data/earthquakes.json
    python3 earthquakes.py package/data/earthquakes.json > earthquakes.ndjson

A FeatureCollection from https://earthquake.usgs.gov/earthquakes/feed/ works as well.
The text of every feature is kept as it is in the source: number text such as 34.4945 or -118.6671667
and the order of the keys do not pass through a parser and back. Only newlines, carriage returns and
tabs between tokens become spaces, so that a feature fits on its line.

Needs Python 3 and nothing else. Exits with 1 and a message if the input is not such a collection.
"""

import json
import sys

SPACE = " \t\r\n"


def skip_space(text, at):
    while at < len(text) and text[at] in SPACE:
        at += 1
    return at


def features(text):
    """Yields the exact text of each element of the top-level "features" array."""
    decoder = json.JSONDecoder()
    collection = json.loads(text)
    if collection.get("type") != "FeatureCollection":
        raise ValueError('the top level is not a "FeatureCollection"')
    at = text.index("[", text.index('"features"')) + 1
    for number, expected in enumerate(collection["features"], 1):
        at = skip_space(text, at)
        value, end = decoder.raw_decode(text, at)
        if value != expected:
            raise ValueError(f"feature {number} is not where it was looked for")
        yield text[at:end]
        at = skip_space(text, end)
        if text[at] not in ",]":
            raise ValueError(f"no comma after feature {number}")
        at += 1


def on_one_line(document):
    # Inside strings JSON allows these characters only as escapes, so they stand between tokens.
    return document.replace("\r", " ").replace("\n", " ").replace("\t", " ")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    with open(sys.argv[1], encoding="utf-8", newline="") as source:
        text = source.read()
    try:
        for document in features(text):
            sys.stdout.write(on_one_line(document) + "\n")
    except (ValueError, KeyError, AttributeError) as error:
        sys.exit(f"{sys.argv[1]}: {error}")


if __name__ == "__main__":
    main()
