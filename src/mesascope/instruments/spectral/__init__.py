"""What happens along the eigenvectors of XᵀX: filters, directions, Krylov subspaces."""
