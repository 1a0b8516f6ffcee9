"""3D Slicer module: lumbar vertebrae and discs of an MR volume by one button, corrected by points.

What can be done without Slicer is in `CascadeSpineLib.logic`.
"""

import tempfile
from pathlib import Path

import ctk
import qt
import slicer
from CascadeSpineLib import logic as plain
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

SETTING = "CascadeSpine/command"
POINTS = "Cascade points"


class CascadeSpine(ScriptedLoadableModule):
    """The module's entry in Slicer's list."""

    def __init__(self, parent):
        super().__init__(parent)
        parent.title = "Cascade Spine"
        parent.categories = ["Segmentation"]
        parent.dependencies = []
        parent.contributors = ["The cascade authors"]
        parent.helpText = "Segments and names lumbar vertebrae and discs in MR volumes. Research use only; not a medical device."
        parent.acknowledgementText = "Runs the command cascade-segment in a process of its own."


class CascadeSpineWidget(ScriptedLoadableModuleWidget):
    """The panel: a volume, a button, points, and what the run has to say."""

    def setup(self):
        """Build the panel."""
        super().setup()
        self.logic = CascadeSpineLogic()
        form = qt.QFormLayout()
        self.layout.addLayout(form)
        self.volume = slicer.qMRMLNodeComboBox()
        self.volume.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        self.volume.addEnabled = self.volume.removeEnabled = False
        self.volume.setMRMLScene(slicer.mrmlScene)
        form.addRow("MR volume:", self.volume)
        self.command = ctk.ctkPathLineEdit()
        self.command.filters = ctk.ctkPathLineEdit.Files
        self.command.currentPath = slicer.app.settings().value(SETTING, "")
        self.command.toolTip = "cascade-segment of the environment that cascade is installed in; empty: the one on the path"
        self.command.currentPathChanged.connect(lambda path: slicer.app.settings().setValue(SETTING, path))
        form.addRow("Command:", self.command)
        self._button("Segment", lambda: self._run(with_clicks=False), "Vertebrae and discs by name")
        self.structure = qt.QComboBox()
        for name in (*plain.LEVELS, *plain.WORDS):
            self.structure.addItem(name)
            self.structure.setItemData(self.structure.count - 1, plain.HINTS.get(name, name), qt.Qt.ToolTipRole)
        self.structure.setCurrentText("L5")
        form.addRow("Point is:", self.structure)
        self._button("Place a point", self._place, "Then click into the image")
        self._button("Remove all points", lambda: self.logic.points().RemoveAllControlPoints(), "Back to the automatic result")
        self._button("Correct", lambda: self._run(with_clicks=True), "Segment again with all points")
        self.messages = qt.QPlainTextEdit()
        self.messages.readOnly = True
        self.layout.addWidget(self.messages)
        self.layout.addStretch(1)

    def _button(self, text, action, tip):
        button = qt.QPushButton(text)
        button.toolTip = tip
        button.clicked.connect(lambda *_: action())
        self.layout.addWidget(button)

    def _place(self):
        self.logic.place(self.structure.currentText)

    def _run(self, with_clicks):
        with slicer.util.tryWithErrorDisplay("The scan could not be segmented.", waitCursor=True):
            result = self.logic.segment(self.volume.currentNode(), self.command.currentPath, with_clicks)
            self.messages.plainText = result.text


class CascadeSpineLogic(ScriptedLoadableModuleLogic):
    """Volumes, segmentations and points of the scene."""

    def segment(self, volume, command="", with_clicks=False):
        """Segment a volume node, put the segmentation into the scene, and return what is to be shown."""
        if volume is None:
            raise plain.CascadeSpineError("Choose a volume first.")
        with tempfile.TemporaryDirectory() as folder:
            files = plain.Files(Path(folder))
            slicer.util.exportNode(volume, str(files.scan), {"useCompression": 0}, world=True)
            has_clicks = with_clicks and plain.write_clicks(self.clicks(), files.clicks) > 0
            program = plain.find_command(command)
            plain.run(plain.build_command(program, files, with_clicks=has_clicks), slicer.app.processEvents)
            self._show(volume, files)
            return plain.read_result(files.json)

    def _show(self, volume, files):
        name = f"{volume.GetName()} levels"
        for old in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
            if old.GetName() == name:
                slicer.mrmlScene.RemoveNode(old)
        node = slicer.util.loadSegmentation(str(files.segmentation), {"name": name})
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        node.CreateClosedSurfaceRepresentation()

    def points(self):
        """The point list of the clicks; made when first asked for."""
        node = slicer.mrmlScene.GetFirstNodeByName(POINTS)
        return node or slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", POINTS)

    def place(self, structure):
        """Let the user place one point, which is then called `structure`."""
        node = self.points()
        node.SetControlPointLabelFormat(structure)
        slicer.modules.markups.logic().SetActiveListID(node)
        slicer.modules.markups.logic().StartPlaceMode(False)

    def clicks(self):
        """Label and RAS place of every point."""
        node = self.points()
        for i in range(node.GetNumberOfControlPoints()):
            if node.GetNthControlPointPositionStatus(i) == node.PositionDefined:
                yield node.GetNthControlPointLabel(i), tuple(node.GetNthControlPointPositionWorld(i))


class CascadeSpineTest(ScriptedLoadableModuleTest):
    """Runs inside Slicer (Reload and Test); the logic has tests outside of it."""

    def runTest(self):
        """The panel's parts are there, and a point gets the name that was chosen."""
        logic = CascadeSpineLogic()
        logic.points().RemoveAllControlPoints()
        logic.points().SetControlPointLabelFormat("L4-L5")
        logic.points().AddControlPoint(1.0, 2.0, 3.0)
        assert list(logic.clicks()) == [("L4-L5", (1.0, 2.0, 3.0))]
        self.delayDisplay("Passed")
