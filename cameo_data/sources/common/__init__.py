"""What several sources share: listing files and scene folders, trajectories, subsets."""
