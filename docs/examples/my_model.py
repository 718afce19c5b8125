"""What Mesascope needs to know of a network: which problems it takes, where to read it, and how it answers."""

import torch
from my_network import MyNetwork

from mesascope.types import Domain, Site, Trace


class MyModel:
    name = "my model"
    domain = Domain(dims=(5,), examples=(20,))  # the problems it can take; None means any

    def __init__(self, network):
        self.network = network
        self.sites = self.path = tuple(Site(layer=i, kind="resid_post") for i in range(len(network.blocks)))

    @torch.no_grad()
    def trace(self, prompts, *, capture=(), interventions=()):
        self.domain.check(prompts)
        prompts = prompts.to(dtype=torch.float32)  # they come in float64
        if unknown := {*capture, *(i.site for i in interventions)} - set(self.sites):
            raise ValueError(f"site must be one of this model's; got {min(unknown)}.")
        activations = {}
        stream = self.network.embed(prompts.xs, prompts.ys, prompts.queries)  # (batch, position, width), queries last
        for site, block in zip(self.path, self.network.blocks):
            stream = block(stream)
            for intervention in interventions:
                if intervention.site == site:
                    stream = intervention.edit(stream)
            if site in capture:
                activations[site] = stream
        answers = self.readout(stream[:, -prompts.queries.shape[1] :], self.path[-1])
        return Trace(predictions=answers, activations=activations)

    @torch.no_grad()
    def readout(self, activation, site):  # (batch, query, width) to (batch, query)
        return self.network.unembed(activation).squeeze(-1)


def load():
    network = MyNetwork()
    network.load_state_dict(torch.load("my_network.pt", weights_only=True))
    return MyModel(network.eval())
