"""What runs inside the peers' own environments: each file stands alone and imports nothing of ours."""
