"""Exact and near duplicates, and training problems that are evaluation problems."""
