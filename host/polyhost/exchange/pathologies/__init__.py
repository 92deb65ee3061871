"""How the venue misbehaves, on purpose: every failure that users reported, by name, by chance and by seed.

``Pathologies(seed, {name: probability})`` decides; ``Faults`` bends what goes over the wire (both layers use it),
``VenueMood`` what the exchange itself does; ``inprocess.FaultyGateway`` is the in-process gateway with all of it.
"""

from polyhost.exchange.pathologies.catalogue import BY_NAME, CATALOGUE, Pathology
from polyhost.exchange.pathologies.chance import Pathologies, probability

__all__ = ["BY_NAME", "CATALOGUE", "Pathologies", "Pathology", "probability"]
