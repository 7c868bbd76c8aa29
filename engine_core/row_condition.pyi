from .expression import Program

class RowCondition:
    can_fault: bool
    def __init__(self, program: Program, columns: list[int]) -> None: ...
