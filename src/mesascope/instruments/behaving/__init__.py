"""What a subject's answers alone show: invariances, errors, stress out of distribution, memorisation, matching."""
