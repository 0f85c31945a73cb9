"""What is asked: records, pools, their readers, and the one wording of prompts."""
