"""What a subject computes, whether or not it has a name: classes of explanation from the widest to the narrowest."""
