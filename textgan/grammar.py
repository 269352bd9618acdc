"""A language whose truth is known: caption-like English from a probabilistic grammar, with exact log-probabilities.

It is the corpus of the quickstart (`grammar:N`) and a measuring instrument: `log_prob` gives every sentence its true
probability, so a generator's distance from the language is a number and not an opinion. The grammar is finite,
unambiguous and context-free; what it asks of a model lies far apart: the verb agrees with a subject across a relative
clause ("two women who are near a bus wait ..."), a pronoun with the gender at the start ("a girl ... with her dog"), a
room decides its furniture, and a list of colours never names one twice. All logarithms are natural (nats).
"""

import itertools
import math
import random
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from textgan.errors import InputError

if TYPE_CHECKING:
    from nltk import PCFG

# `Name[variables] : weight symbols | weight symbols` or `Name = words` whose weights fall as 1 / rank (Zipf).
# `_` joins the words of one item; `X?` is X half of the time and nothing the other half.
# A variable stands for each of its values in turn: x (fin, ing) is a verb's form; g, h, w, b, v tell who it is about:
# m man, f woman, n animal, p people, a animals, t vehicle, u vehicles. A slash then picks the form that agrees:
# singular/plural, singular/plural/-ing form, or one word for each of m, f, n, p, a.
TABLE = """
S            : 56 People . | 20 Animals . | 14 Traffic . | 10 Still .
People       : 5 Scene[m] | 4 Scene[f] | 4 Scene[p]
Animals      : 5 Scene[n] | 3 Scene[a]
Scene[g]     : 24 Who[g] Long[ing,g] | 12 Who[g] Long[fin,g] | 15 Who[g] is/are Long[ing,g] \
             | 13 Who[g] Mod[g] Do[fin,g] | 12 Who[g] Mod[g] is/are Do[ing,g] | 9 Who[g] Mod[g] Do[ing,g] \
             | 8 there is/are Who[g] Do[ing,g] | 4 a picture of Who[g] Do[ing,g] | 3 there is/are Who[g] Mod[g] Out
Long[x,g]    : 56 Do[x,g] | 24 Do[x,g] With[g] | 20 Do[x,g] While[g]
He[g]        : 1 he/she/it/they/they
Him[g]       : 1 him/her/it/them/them
His[h]       : 1 his/her/its/their/their

Who[w]       : 60 a N[w] | 22 a Age N[w] | 9 an Old Elder[w] | 9 the N[w]
Who[p]       : 50 Count N[p] | 14 Count Age N[p] | 18 a group of N[p] | 6 a couple of N[p] | 12 the N[p]
Who[n]       : 50 a N[n] | 6 an elephant | 24 a Colours N[n] | 14 a Size N[n] | 6 the N[n]
Who[a]       : 44 Count N[a] | 16 Count Colours N[a] | 14 a group of N[a] | 12 Count Size N[a] | 6 the N[a]
N[m]         = man boy guy
N[f]         = woman girl lady
N[p]         = people men children women kids boys girls
N[n]         = dog cat horse bird cow giraffe zebra
N[a]         = horses dogs cows birds elephants cats zebras giraffes
Elder[m]     = man guy
Elder[f]     = woman lady
Age          = young tall happy smiling
Old          = old elderly
Size         = large small baby big
Count        = two three some several four many

Mod[h]       : 30 in Outfit[h] | 26 wearing Outfit[h] | 26 who is/are Near | 10 who has/have His[h] Pal with Him[h] \
             | 8 with His[h] back/backs to the camera
Mod[b]       : 50 that is/are Near | 30 with Tail[b] | 20 in front of the Herd
Outfit[w]    : 3 a Garment[w] | 5 a Colours Garment[w] | 1 an old Garment[w]
Outfit[p]    : 3 Garment[p] | 5 Colours Garment[p]
Garment[m]   = shirt hat jacket
Garment[f]   = dress hat coat shirt skirt
Garment[p]   = shirts hats coats jackets
Tail[n]      : 3 a Colours collar | 2 a long tail | 2 Colours ears
Tail[a]      : 3 Colours collars | 2 long tails | 2 Colours ears
Herd         = cows trees people
Near         : 1 Beside Other
Beside       = near next_to behind beside
Other        : 4 a Mark | 2 the Mark | 1 an umbrella | 4 Count Crowd
Mark         = tree bench fence bus car fountain
Crowd        = dogs trees cars bikes cows boats

Do[x,h]      : 11 rides/ride/riding Ride Way? | 3 rides/ride/riding Wave \
             | 12 holds/hold/holding Hold Out? | 10 eats/eat/eating Bite Dine? \
             | 10 stands/stand/standing Out | 9 sits/sit/sitting Seat | 8 walks/walk/walking Way \
             | 6 flies/fly/flying Kite[h] Out? | 6 plays/play/playing Game Ground? \
             | 5 walks/walk/walking His[h] dog/dogs Way? | 4 throws/throw/throwing a Toy Out? \
             | 4 talks/talk/talking on His[h] phone/phones Out? | 4 reads/read/reading a Page Seat? \
             | 3 feeds/feed/feeding Beast | 3 waits/wait/waiting for a Line | 3 looks/look/looking at Beast \
             | 2 smiles/smile/smiling for the camera
Ride         : 5 a horse | 5 a Wheels | 5 a Colours Wheels | 1 an elephant
Wave         : 3 a wave | 2 a Colours surfboard in the water
Wheels       = bike motorcycle skateboard
Hold         : 5 a Item | 4 a Colours Thing | 1 an umbrella | 2 Food
Item         = phone camera baby sign
Thing        = umbrella frisbee bag ball
Kite[w]      : 2 a kite | 3 a Colours kite
Kite[p]      : 2 kites | 3 Colours kites
Bite         : 4 Food | 2 a sandwich | 2 a piece of cake | 2 a plate of Foods | 1 an apple
Food         = pizza cake fruit bread vegetables
Game         = tennis baseball soccer frisbee
Toy          = ball frisbee stick
Page         = book newspaper
Line         = bus train taxi
Beast        : 5 a N[n] | 1 an elephant | 3 a Colours N[n] | 3 Count N[a]
With[h]      : 7 with His[h] Pal | 3 with a Pet Beside Him[h] | 4 with His[h] Pals | 2 with His[h] Pals Beside Him[h]
Pal          = friend dog brother sister
Pals         = friends dogs cats
Pet          = dog cat bird
While[h]     : 4 while His[h] Pal watches | 3 while His[h] Pals wait | 4 as He[h] talks/talk on a phone \
             | 3 as He[h] waits/wait for a Line | 2 while He[h] holds/hold Hold

Do[x,b]      : 12 stands/stand/standing Field | 9 lies/lie/lying Rest | 7 walks/walk/walking Way \
             | 7 sits/sit/sitting Rest | 6 runs/run/running Way | 6 eats/eat/eating Hay Field? \
             | 6 looks/look/looking at Gaze | 4 plays/play/playing with Play \
             | 4 sleeps/sleep/sleeping Rest | 3 drinks/drink/drinking water from a Bowl
Hay          = grass hay
Gaze         : 3 the camera | 6 a Keeper | 2 Beast
Play         : 3 a Toy | 3 a Colours Toy
Bowl         = bowl river
With[b]      : 4 with its/their mother/mothers | 3 with its/their mouth/mouths open | 3 with a Keeper Beside Him[b]
Keeper       : 1 N[m] | 1 N[f]
While[b]     : 3 while its/their owner watches | 2 while its/their owners watch \
             | 3 as He[b] waits/wait for a Keeper | 2 as He[b] looks/look at Gaze

Out          = on_the_beach in_the_park in_a_field in_the_snow on_the_street near_a_building by_the_water under_a_tree
Way          = down_the_street along_the_beach through_the_park across_a_field up_a_hill over_a_bridge
Dine         = at_a_table in_a_restaurant in_the_kitchen on_a_bench
Seat         = on_a_bench at_a_table on_the_grass in_a_chair
Ground       = on_a_court in_the_park on_the_beach in_a_field
Field        = in_a_field on_the_grass in_the_snow by_the_water under_a_tree
Rest         = on_the_grass in_the_shade under_a_tree on_the_ground by_the_water

Traffic      : 6 Route[road,t] | 3 Route[road,u] | 5 Route[rail,t] | 1 Route[rail,u] | 3 Route[air,t] | 1 Route[air,u] \
             | 2 Route[sea,t] | 2 Route[sea,u]
Route[k,v]   : 5 Car[k,v] Go[ing,k,v] | 3 Car[k,v] is/are Go[ing,k,v] | 3 Car[k,v] Go[fin,k,v] \
             | 4 Car[k,v] that is/are Near Go[fin,k,v] | 2 there is/are Car[k,v] Go[ing,k,v]
Car[k,t]     : 5 a Colours V[k,t] | 3 a V[k,t] | 2 a Size V[k,t] | 1 an old V[k,t] | 1 the V[k,t]
Car[k,u]     : 4 Count V[k,u] | 3 Count Colours V[k,u] | 1 the V[k,u]
V[road,t]    = bus car truck taxi
V[road,u]    = cars buses trucks taxis
V[rail,t]    = train
V[rail,u]    = trains
V[air,t]     = plane
V[air,u]     = planes
V[sea,t]     = boat
V[sea,u]     = boats
Go[x,road,v] : 4 drives/drive/driving Drive | 4 waits/wait/waiting at a Stop | 2 passes/pass/passing Other
Go[x,rail,v] : 4 travels/travel/traveling down the tracks | 3 waits/wait/waiting at the station \
             | 2 passes/pass/passing Other
Go[x,air,v]  : 4 flies/fly/flying Sky | 2 waits/wait/waiting on the runway
Go[x,sea,v]  : 4 floats/float/floating Sea
Drive        = down_the_street over_a_bridge through_the_city
Stop         = stop_sign corner
Sky          = through_the_sky over_the_city above_the_clouds
Sea          = on_the_water down_the_river

Still        : 5 Room[kitchen] | 5 Room[bathroom] | 4 Room[bedroom] | 5 Meal
Room[r]      : 4 Hall[r] with Items[r] | 2 there is Hall[r] with Items[r]
Hall[r]      : 4 a [r] | 3 a Size [r] | 2 a clean [r] | 1 an empty [r] | 2 a Colours [r]
Meal         : 4 Plate topped with Foods | 3 Plate of Foods on a table | 3 Plate of Foods next to a Drink \
             | 2 there is Plate of Foods next to a Drink | 2 a close up of Plate of Foods
Plate        : 4 a Dish | 4 a Colours Dish | 1 an old Dish
Dish         = plate bowl
Drink        = cup glass
"""
VARIABLES = {
    "g": "m f n p a", "h": "m f p", "w": "m f", "b": "n a", "x": "fin ing",
    "k": "road rail air sea", "v": "t u", "r": "kitchen bathroom bedroom",
}  # fmt: skip
# Lists of one, two or three different items, in any order: "red", "red and blue", "red , blue and green".
LISTS = {
    "Colours": "white black red blue brown green yellow pink",
    "Foods": "pizza vegetables fruit rice bread",
    "Items[kitchen]": "a_stove a_sink a_table an_oven a_window",
    "Items[bathroom]": "a_sink a_toilet a_mirror a_window",
    "Items[bedroom]": "a_bed a_lamp a_desk a_window a_chair",
}

MOST = 10_000_000  # sentences of a corpus
Symbols = tuple[str, ...]
Rules = Mapping[str, tuple[tuple[float, Symbols], ...]]  # name -> (probability, symbols) of each alternative


def sample(n: int, seed: int = 0) -> list[str]:
    """Sentences drawn from the grammar, one stream a seed: the first m of `sample(n, seed)` are `sample(m, seed)`."""
    if n < 0 or seed < 0:
        raise InputError(f"grammar.sample got n={n}, seed={seed}; both must be 0 or more")
    return list(sentences(n, seed))


def lines(source: str) -> Iterator[str]:
    """The sentences of a `grammar:N` or `grammar:N:SEED` corpus."""
    asked = re.fullmatch(r"grammar:([0-9]{1,8})(?::([0-9]{1,9}))?", source)
    if asked is None or not 1 <= int(asked[1]) <= MOST:
        raise InputError(f"{source!r}: grammar:N or grammar:N:SEED was wanted, N from 1 to {MOST:,}")
    return sentences(int(asked[1]), int(asked[2] or 0))


def sentences(n: int, seed: int = 0) -> Iterator[str]:
    """`sample`, one sentence at a time."""
    # random() of an integer seed is the one stream that Python promises to keep between versions.
    draw, table = random.Random(int(seed)).random, _samplers()
    for _ in range(n):
        stack, words = ["S"], list[str]()
        while stack:
            symbol = stack.pop()
            if symbol in table:
                bounds, bodies = table[symbol]
                stack.extend(bodies[bisect_right(bounds, draw()) if bounds else 0])
            else:
                words.append(symbol)
        yield " ".join(words)


def log_prob(sentence: str) -> float:
    """Exact log-probability of a sentence in nats, summed over its parses; -inf outside the language."""
    prob = _walk(sentence).get((), 0.0)
    return math.log(prob) if prob > 0 else -math.inf


def accepts(sentence: str) -> bool:
    """Whether the grammar can say the sentence (words and punctuation separated by spaces)."""
    return () in _walk(sentence)


def next_words(prefix: str = "") -> dict[str, float]:
    """The exact p(next word | prefix); "" stands for the end of the sentence. Empty after what is no prefix."""
    probs: dict[str, float] = {}
    states = _walk(prefix)
    for stack, prob in states.items():
        for word, tails in _heads(stack[0]).items() if stack else [("", {(): 1.0})]:
            probs[word] = probs.get(word, 0.0) + prob * sum(tails.values())
    total = sum(states.values())
    return {word: prob / total for word, prob in probs.items()}


def derivations() -> int:
    """How many sentences the language has, by counting; it is unambiguous, so each has one derivation."""
    return _facts("S")[0]


def entropy() -> float:
    """Exact entropy of a sentence in nats: what no model's expected negative log-likelihood can go below."""
    return _facts("S")[1]


def mean_length() -> float:
    """Exact expected number of words in a sentence, the closing full stop included."""
    return _facts("S")[2]


def vocabulary() -> list[str]:
    """Every word of the language, sorted."""
    rules = _rules()
    return sorted({s for bodies in rules.values() for _, body in bodies for s in body if s not in rules})


def pcfg() -> "PCFG":
    """The same grammar as an `nltk.PCFG`, for nltk's parsers."""
    from nltk import PCFG, Nonterminal, ProbabilisticProduction

    rules = _rules()
    productions = [
        ProbabilisticProduction(Nonterminal(name), [Nonterminal(s) if s in rules else s for s in body], prob=prob)
        for name, bodies in rules.items()
        for prob, body in bodies
    ]
    return PCFG(Nonterminal("S"), productions)


def _walk(prefix: str) -> dict[Symbols, float]:
    """What may still follow a prefix: symbols left to say -> joint probability of the prefix and of that future."""
    states: dict[Symbols, float] = {("S",): 1.0}
    for word in prefix.split():
        reached: dict[Symbols, float] = {}
        for stack, prob in states.items():
            for tail, q in _heads(stack[0]).get(word, {}).items() if stack else ():
                left = tail + stack[1:]
                reached[left] = reached.get(left, 0.0) + prob * q
        states = reached
    return states


@cache
def _heads(symbol: str) -> dict[str, dict[Symbols, float]]:
    """Greibach's form: each word that can open a symbol -> the symbols that then remain -> probability."""
    if symbol not in _rules():
        return {symbol: {(): 1.0}}
    heads: dict[str, dict[Symbols, float]] = {}
    for prob, (first, *others) in _rules()[symbol]:
        for word, tails in _heads(first).items():
            mine = heads.setdefault(word, {})
            for tail, q in tails.items():
                rest = (*tail, *others)
                mine[rest] = mine.get(rest, 0.0) + prob * q
    return heads


@cache
def _facts(symbol: str) -> tuple[int, float, float]:
    """(derivations, their entropy in nats, expected words) below a symbol, whose children are independent."""
    if symbol not in _rules():
        return 1, 0.0, 1.0
    count, nats, words = 0, 0.0, 0.0
    for prob, body in _rules()[symbol]:
        children = [_facts(child) for child in body]
        count += math.prod(child[0] for child in children)
        nats += prob * (sum(child[1] for child in children) - math.log(prob))
        words += prob * sum(child[2] for child in children)
    return count, nats, words


@cache
def _samplers() -> dict[str, tuple[list[float], list[Symbols]]]:
    """name -> (inner bounds of the cumulative probabilities, bodies reversed for a stack)."""
    return {
        name: (list(itertools.accumulate(prob for prob, _ in bodies[:-1])), [body[::-1] for _, body in bodies])
        for name, bodies in _rules().items()
    }


@cache
def _rules() -> Rules:
    """TABLE and LISTS with variables, agreement and optional symbols written out, weights turned to probabilities."""
    weighted: dict[str, list[tuple[float, Symbols]]] = {}
    for line in TABLE.strip().splitlines():
        if line:
            for name, body in _written_out(line):
                weighted.setdefault(name, []).append(body)
    for name, items in LISTS.items():
        for part, body in _different(name, [tuple(item.split("_")) for item in items.split()]):
            weighted.setdefault(part, []).append(body)
    return {
        name: tuple((weight / sum(w for w, _ in bodies), body) for weight, body in bodies)
        for name, bodies in weighted.items()
    }


def _written_out(line: str) -> Iterator[tuple[str, tuple[float, Symbols]]]:
    """The rules that one line of TABLE stands for."""
    name, separator, right = re.split(r"\s+(:|=)\s+", line, maxsplit=1)
    if separator == "=":
        bodies = [(1 / rank, [" ".join(item.split("_"))]) for rank, item in enumerate(right.split(), 1)]
    else:
        bodies = [(float(weight), body) for weight, *body in (option.split() for option in right.split("|"))]
    variables = [v for v in re.findall(r"\w+", name.partition("[")[2]) if v in VARIABLES]
    for values in itertools.product(*(VARIABLES[v].split() for v in variables)):
        binding = dict(zip(variables, values, strict=True))
        for weight, body in bodies:
            options = [((), tuple(s[:-1].split())) if s.endswith("?") else (tuple(s.split()),) for s in body]
            for choice in itertools.product(*options):
                symbols = (_bound(s, binding) for s in itertools.chain(*choice))
                yield _bound(name, binding), (weight / math.prod(map(len, options)), tuple(symbols))


def _bound(symbol: str, binding: Mapping[str, str]) -> str:
    """A symbol under a binding of the variables: `Act[x,g]` -> `Act[ing,m]`, `[r]` -> `kitchen`, `is/are` -> `is`."""
    if "[" in symbol:
        name, values = symbol[:-1].split("[")
        bound = ",".join(binding.get(v, v) for v in values.split(","))
        return f"{name}[{bound}]" if name else bound
    forms = symbol.split("/")
    if len(forms) == 1:
        return symbol
    if len(forms) == 3 and binding["x"] == "ing":
        return forms[2]
    who = next(value for value in binding.values() if len(value) == 1)
    return forms["mfnpa".index(who)] if len(forms) == 5 else forms[who in "pau"]


def _different(name: str, items: Sequence[Symbols]) -> Iterator[tuple[str, tuple[float, Symbols]]]:
    """Rules for one, two or three different items in any order: a symbol remembers which have been said."""
    for i, first in enumerate(items):
        yield name, (0.7 / (i + 1), first)
        yield name, (0.3 / (i + 1), (*first, f"{name}+{i}"))
        yield f"{name}+{i}", (3.0, ("and", f"{name}-{i}"))
        for j, second in enumerate(items):
            if j != i:
                yield f"{name}-{i}", (1 / (j + 1), second)
                both = f"{name}-{min(i, j)},{max(i, j)}"
                yield f"{name}+{i}", (1 / (j + 1), (",", *second, "and", both))
    for i, j in itertools.combinations(range(len(items)), 2):
        for k, third in enumerate(items):
            if k not in (i, j):
                yield f"{name}-{i},{j}", (1 / (k + 1), third)
