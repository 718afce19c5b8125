"""What the answers alone show: invariances, errors, stress out of distribution, memorisation."""
