"""What a subject does along the eigenvectors of XᵀX: filters, directions, Krylov subspaces."""
